// @ts-check
import { Group } from './group.mjs'
import { publish, quiet } from './workload.mjs'

// The process that holds the sockets. It executes the calls of the bench's main process, and answers each.

/** When nothing arrives in a storm for this long, the missing events count as lost. */
const SILENCE_MS = 10_000

/** @type {Map<string, Group>} */
const groups = new Map()

/** The calls of this process; each takes and returns plain data. @type {Record<string, (argument: any) => unknown>} */
const calls = {
  /** @param {{ group: string, concurrency: number } & ConstructorParameters<typeof Group>[0]} spec */
  async open({ group, concurrency, ...spec }) {
    const opening = new Group(spec)
    groups.set(group, opening)
    const start = performance.now()
    await opening.open(concurrency)
    return { seconds: (performance.now() - start) / 1000 }
  },

  /** @param {{ group: string } & import('./workload.mjs').Workload} workload */
  publish: ({ group, ...workload }) => publish(groupOf(group), workload),

  /** @param {{ group: string }} which */
  cut: ({ group }) => groupOf(group).cut(),

  /**
   * Reconnects a cut group with its last event ids, and waits until every connection has seen `missed` more events.
   * @param {{ group: string, concurrency: number, missed: number, withinSeconds: number }} what
   */
  async comeBack({ group, concurrency, missed, withinSeconds }) {
    const returning = groupOf(group)
    const { ledger } = returning
    returning.returns = true
    ledger.reset()
    returning.announced = 0
    const expected = returning.sockets.length * missed
    const start = performance.now()
    const opened = returning.open(concurrency).then(
      () => performance.now(),
      () => Number.NaN,
    )
    let seen = { delivered: 0, at: start }
    while (
      ledger.delivered < expected &&
      performance.now() - seen.at < SILENCE_MS &&
      performance.now() - start < withinSeconds * 1000
    ) {
      if (ledger.delivered !== seen.delivered) seen = { delivered: ledger.delivered, at: performance.now() }
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    const seconds = (performance.now() - start) / 1000
    const openedAt = await Promise.race([opened, Number.NaN])
    return {
      seconds,
      openSeconds: (openedAt - start) / 1000,
      delivered: ledger.delivered,
      missing: expected - ledger.delivered,
      lost: ledger.lost,
      repeated: ledger.repeated,
      turnedAway: returning.ended,
      announced: returning.announced,
      failure: returning.failure,
    }
  },

  /** @param {{ group: string, isReading: boolean }} what */
  read: ({ group, isReading }) => groupOf(group).read(isReading),

  /** @param {{ group: string }} which */
  state({ group }) {
    const { sockets, ended, failure, ledger } = groupOf(group)
    return { open: sockets.filter(socket => socket !== undefined).length, ended, failure, bytes: ledger.bytes }
  },

  /** @param {{ group: string }} which */
  reset: ({ group }) => groupOf(group).ledger.reset(),

  /** Ends a running publish of this group. @param {{ group: string }} which */
  stop({ group }) {
    groupOf(group).isStopping = true
  },

  /**
   * Waits until a group has received this many events since its last reset, from any publisher.
   * @param {{ group: string, delivered: number }} what
   */
  async await({ group, delivered }) {
    const { ledger } = groupOf(group)
    await quiet(ledger, () => delivered)
    const { lost, repeated, latency } = ledger
    return { missing: delivered - ledger.delivered, lost, repeated, latency: latency.summary() }
  },
}

process.on('message', async (/** @type {{ id: number, call: string, argument: unknown }} */ { id, call, argument }) => {
  try {
    const cpuBefore = process.cpuUsage()
    const result = (await calls[call]?.(argument)) ?? {}
    const { user, system } = process.cpuUsage(cpuBefore)
    process.send?.({ id, result: { ...result, loadCpuMicros: user + system } })
  } catch (error) {
    process.send?.({ id, error: /** @type {Error} */ (error).message })
  }
})

process.on('disconnect', () => process.exit())

/** @param {string} name */
function groupOf(name) {
  const group = groups.get(name)
  if (group === undefined) throw new Error(`no group '${name}' was opened`)
  return group
}
