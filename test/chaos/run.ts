import { type ChaosOptions, readOptions, USAGE } from './options.js'
import { type PhaseResult, playPhase } from './phase.js'
import { makePlan } from './plan.js'
import { showReport } from './report.js'

/** How long closed sockets and processes may take to be gone. */
const LINGER_MS = 5000

process.exitCode = await main(process.argv.slice(2))
// When the kernel refuses a socket's reset, Node takes the socket for closing and would wait for it for ever, at full CPU.
process.on('beforeExit', () => process.exit())
setTimeout(() => {
  console.log(`ended with open ${process.getActiveResourcesInfo().join(', ')}`)
  process.exit()
}, LINGER_MS).unref()

async function main(args: string[]): Promise<number> {
  let options: ChaosOptions
  try {
    options = readOptions(args)
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`)
    return 2
  }
  const { seed, minutes, replicas, clients, faults, waitReplicas } = options
  const startedAt = performance.now()
  const say = (text: string) =>
    console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)} s  ${text}`)
  const replay = `--seed ${seed} --minutes ${minutes} --replicas ${replicas} --clients ${clients}`
  console.log(`npm run chaos -- ${replay} --wait-replicas ${waitReplicas} --faults ${faults.join(',')}`)

  const plan = makePlan({ seed, minutes, replicas, kinds: faults })
  const results: PhaseResult[] = []
  for (const phase of plan) {
    say(`${phase.topology}: ${replicas} replicas, ${clients} readers, ${phase.faults.length} faults`)
    results.push(await playPhase(phase, options, say))
  }
  console.log(showReport(results))
  const isEmpty = results.some(({ counts }) => counts.delivered === 0 || counts.acknowledged === 0)
  if (isEmpty) console.log('nothing was delivered: this run proves nothing')
  return isEmpty || results.some(({ violations }) => violations.total > 0) ? 1 : 0
}
