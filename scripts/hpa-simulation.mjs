// Simulates a day of the chart's autoscaler twice: behind a balancer that spreads new streams evenly (kube-proxy), and behind one that
// picks the replica with the fewest. Writes docs/hpa-simulation.svg, and exits 1 if a stream was turned away.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { draw } from './hpa/picture.mjs'
import { DAY_S, simulate } from './hpa/simulate.mjs'

const MAX_CONNECTIONS = 10_000
// A rolling update at the afternoon peak, and the loss of a node with a third of the replicas in the evening.
const events = { deployAtS: 14.5 * 3_600, nodeLossAtS: 19.5 * 3_600 }

const runs = [
  { title: 'New streams spread evenly, target 3,500', balancer: 'even', target: 3_500 },
  { title: 'New streams to the replica with the fewest, target 5,000', balancer: 'fewest', target: 5_000 },
].map(run => ({ ...run, ...simulate({ ...run, ...events, demand, maxConnections: MAX_CONNECTIONS }) }))

for (const { title, samples, turnedAway } of runs) {
  const fullest = Math.max(...samples.map(sample => sample.fullest))
  const replicas = samples.map(sample => sample.ready)
  console.log(
    `${title}: ${Math.min(...replicas)}-${Math.max(...replicas)} replicas, fullest ${Math.round(fullest)} streams, ${turnedAway} turned away`,
  )
}
const picture = draw(runs, { ...events, maxConnections: MAX_CONNECTIONS, dayS: DAY_S })
writeFileSync(fileURLToPath(new URL('../docs/hpa-simulation.svg', import.meta.url)), picture)
process.exitCode = runs.some(({ turnedAway }) => turnedAway > 0) ? 1 : 0

/** Readers online: quiet nights, a steep morning, an afternoon and an evening peak. */
function demand(t) {
  const hour = t / 3_600
  const hill = (middle, width, height) => height * Math.exp(-(((hour - middle) / width) ** 2))
  return 8_000 + hill(10.5, 2.2, 26_000) + hill(14.5, 2, 24_000) + hill(19.5, 1.8, 22_000)
}
