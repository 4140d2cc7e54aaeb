import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Scope } from '../helpers/scope.js'
import { fuzzGateway } from './target.js'

// npm run fuzz: random and mutated requests on every route, and random bytes, against a gateway of its own.
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
try {
  console.log(`${requests} requests, seed ${seed}`)
  const startedAt = performance.now()
  const report = await fuzzGateway(scope, requests, seed, sent => {
    if (sent % 10_000 === 0) console.log(`${sent} sent`)
  })
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  console.log(`${report.sent} sent in ${seconds} s; answers by status (0: none):`, report.statuses)
  console.log(`memory grew by ${(report.growthBytes / 1_048_576).toFixed(1)} MiB; ${report.open} streams left open`)
  for (const { what, seed, index, sent, answer } of report.violations) {
    console.log(`\nVIOLATION (seed ${seed}, case ${index}): ${what}\n  sent   ${sent}\n  answer ${answer}`)
  }
  for (const problem of report.problems) console.log(`PROBLEM: ${problem}`)
  const isGood = report.violations.length === 0 && report.problems.length === 0
  console.log(isGood ? 'no crash, no hang, no 5xx, no echoed secret' : 'failed')
  process.exitCode = isGood ? 0 : 1
} finally {
  await scope.close()
}
