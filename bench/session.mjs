// @ts-check
import { Load } from './load/load.mjs'
import { cpuMicros, machineCpuMicros } from './processes.mjs'

/** The detail that holds the CPU time of all other programs meanwhile, in percent of a core: they distort figures. */
export const OTHERS_CPU = 'others CPU %'

/**
 * One measured figure: `id` is its name ('broadcast.cpu'), `problem` the reason why it does not count.
 * @typedef {{ id: string, value: number, problem?: string, detail?: Record<string, number | string> }} Figure
 *
 * `known` looks up a figure that an earlier scenario of the same run measured for this peer.
 * @typedef {{
 *   peer: import('./peers/peers.mjs').Peer, folder: string, profile?: string, n: import('./options.mjs').Numbers,
 *   known: (id: string) => number | undefined
 * }} Context
 *
 * A scenario that `isLong` runs once, whatever the number of runs.
 * @typedef {{
 *   name: string, title: string, isLong?: true, leavesOut: (peer: import('./peers/peers.mjs').Peer) => string | undefined,
 *   run: (context: Context) => Promise<Figure[]>
 * }} Scenario
 */

/**
 * Starts a peer and a load generator, and ends both in any case.
 * @template Result
 * @param {Context} context
 * @param {{ env?: Record<string, string>, replicas?: number }} settings
 * @param {(session: { server: import('./peers/peers.mjs').Server, load: Load }) => Promise<Result>} act
 * @returns {Promise<Result>}
 */
export async function withServer({ peer, folder, profile }, settings, act) {
  const server = await peer.start({ folder, ...settings, ...(profile !== undefined && { profile }) })
  const load = new Load()
  try {
    return await act({ server, load })
  } finally {
    await load.stop()
    await server.stop()
  }
}

/**
 * The members of a group's spec that depend on the server.
 * @param {Context} context
 * @param {import('./peers/peers.mjs').Server} server
 */
export function speaking({ peer }, server) {
  return { protocol: peer.protocol, ports: server.ports, port: server.ports[0] }
}

/**
 * Calls `act` and returns its CPU cost: of the server in all, of each of its processes, of Redis, of the load generator, and of a
 * worker.
 * @template Result
 * @param {import('./peers/peers.mjs').Server} server
 * @param {Load} load
 * @param {() => Promise<Result>} act
 * @param {Load} [worker]
 */
export async function measured(server, load, act, worker) {
  const loads = worker === undefined ? [load] : [load, worker]
  const loadCpu = () => loads.reduce((sum, { pid }) => sum + cpuMicros(pid), 0)
  const all = [...server.processes, ...server.helpers]
  const before = all.map(({ pid }) => cpuMicros(pid))
  const loadBefore = loadCpu()
  const machineBefore = machineCpuMicros()
  const start = performance.now()
  const result = await act()
  const micros = (performance.now() - start) * 1000
  const loadMicros = loadCpu() - loadBefore
  const machineMicros = machineCpuMicros() - machineBefore
  const each = all.map(({ name, pid }, index) => ({ name, micros: cpuMicros(pid) - (before[index] ?? 0) }))
  const cpu = each.slice(0, server.processes.length).reduce((sum, one) => sum + one.micros, 0)
  /** @param {number} used */
  const share = used => Math.round((100 * used) / micros)
  return {
    result,
    cpuMicros: cpu,
    each,
    shares: {
      ...Object.fromEntries(each.map(one => [`${one.name} CPU %`, share(one.micros)])),
      'load CPU %': share(loadMicros),
      [OTHERS_CPU]: share(Math.max(0, machineMicros - loadMicros - each.reduce((sum, one) => sum + one.micros, 0))),
    },
  }
}

/**
 * The reason why a result does not count, if events were missing, repeated or out of order; otherwise nothing.
 * @param {{ missing?: number, lost?: number, repeated?: number, failure?: string }} result
 * @returns {{ problem?: string }}
 */
export function problemOf({ missing = 0, lost = 0, repeated = 0, failure = '' }) {
  if (failure !== '') return { problem: oneLine(failure) }
  if (missing === 0 && lost === 0 && repeated === 0) return {}
  return { problem: `${missing} missing, ${lost} skipped, ${repeated} repeated or out of order` }
}

/** Shortens an HTTP answer to its status line and the beginning of its body; puts any other text into one line. @param {string} text */
function oneLine(text) {
  const [head = '', body = ''] = text.split('\r\n\r\n')
  return `${head.split('\r\n')[0]} ${body}`.slice(0, 250).trim()
}
