import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Scope } from '../helpers/scope.js'
import { fuzzChannels } from './channels.js'
import { fuzzGateway, fuzzSecure, type GatewayReport } from './target.js'

// npm run fuzz: sends random and mutated requests for every route, and random bytes, to a gateway of its own. Then a fifth as many
// go over TLS (handshakes, HTTP/1.1, frames of HTTP/2), and a fifth as many messages to the channels of a gateway's Redis.
const { values } = parseArgs({
  options: { requests: { type: 'string', default: '100000' }, seed: { type: 'string' } },
})
const requests = Number(values.requests)
const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed)
if (!Number.isSafeInteger(requests) || requests < 1 || !Number.isSafeInteger(seed)) {
  console.error('usage: npm run fuzz -- [--requests 100000] [--seed 7]')
  process.exit(2)
}

const scope = new Scope()
let isGood = true
try {
  await run('requests', requests, () => fuzzGateway(scope, requests, seed, progress))
  await run('cases over TLS', share(), () => fuzzSecure(scope, share(), seed, progress))
  const { sent, growthBytes, problems } = await fuzzChannels(scope, share(), seed)
  console.log(`${sent} messages on the channels; memory grew by ${mebibytes(growthBytes)}`)
  tell(problems)
  console.log(isGood ? 'no crash, no hang, no 5xx, no echoed secret' : 'failed')
  process.exitCode = isGood ? 0 : 1
} finally {
  await scope.close()
}

async function run(what: string, count: number, fuzz: () => Promise<GatewayReport>): Promise<void> {
  console.log(`${count} ${what}, seed ${seed}`)
  const startedAt = performance.now()
  const report = await fuzz()
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  console.log(`${report.sent} sent in ${seconds} s; answers by status (0: none):`, report.statuses)
  console.log(`memory grew by ${mebibytes(report.growthBytes)}; ${report.open} streams left open`)
  for (const { what, seed, index, sent, answer } of report.violations) {
    isGood = false
    console.log(`\nVIOLATION (seed ${seed}, case ${index}): ${what}\n  sent   ${sent}\n  answer ${answer}`)
  }
  tell(report.problems)
}

function tell(problems: readonly string[]): void {
  for (const problem of problems) {
    isGood = false
    console.log(`PROBLEM: ${problem}`)
  }
}

function progress(sent: number): void {
  if (sent % 10_000 === 0) console.log(`${sent} sent`)
}

function share(): number {
  return Math.ceil(requests / 5)
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`
}
