// @ts-check
import { delay, residentBytes } from '../processes.mjs'
import { problemOf, speaking, withServer } from '../session.mjs'

const FLOOD_BYTES = 32_768
const FLOOD_RATE = 20
/** The time to read the bytes that the kernel buffered for the stalled readers, some megabytes each. */
const DRAIN_MS = 4000

/** @type {import('../session.mjs').Scenario} */
export const slow = {
  name: 'slow',
  title: 'readers that stop reading, among others that go on',
  leavesOut: peer =>
    peer.protocol === 'nchan' ? 'follows one channel a connection here, so nobody can be flooded apart' : undefined,
  async run(context) {
    const { connections, 'slow-readers': stalled, 'slow-seconds': seconds, rate, bytes } = context.n
    return await withServer(context, {}, async ({ server, load }) => {
      const speak = speaking(context, server)
      const fast = { group: 'fast', ...speak }
      const flooded = { group: 'stalled', ...speak }
      await load.ask('open', { ...fast, connections: connections - stalled, room: '*', rooms: 1, concurrency: 100 })
      await load.ask('open', {
        ...flooded,
        connections: stalled,
        room: 'flood',
        rooms: 1,
        firstUser: 1_000_000,
        concurrency: 100,
      })
      const before = await load.ask('publish', { ...fast, rate, seconds: Math.min(5, seconds), bytes })
      /** @param {boolean} isWaiting */
      const flood = async isWaiting => {
        const [result] = await Promise.all([
          load.ask('publish', { ...fast, rate, seconds, bytes }),
          load.ask('publish', { ...flooded, rate: FLOOD_RATE, seconds, bytes: FLOOD_BYTES, connections: 1, isWaiting }),
        ])
        return result
      }
      // The flood costs the other readers something even while everybody reads: measure that first, to tell it from stalling.
      const reading = await flood(true)
      const residentBefore = resident(server)

      await load.ask('read', { group: 'stalled', isReading: false })
      let peak = residentBefore
      const watch = setInterval(() => {
        peak = Math.max(peak, resident(server))
      }, 200)
      const during = await flood(false)
      clearInterval(watch)
      // A socket must read to notice that the server has ended it.
      await load.ask('read', { group: 'stalled', isReading: true })
      await delay(DRAIN_MS)
      const { ended } = await load.ask('state', { group: 'stalled' })

      const detail = {
        'p50 before ms': before.lastSocket.p50,
        'p50 reading ms': reading.lastSocket.p50,
        'p50 stalled ms': during.lastSocket.p50,
        'p99 before ms': before.lastSocket.p99,
        'slow streams ended': `${ended} of ${stalled}`,
        'flooded MB each': Math.round((FLOOD_BYTES * FLOOD_RATE * seconds) / 1e6),
      }
      return [
        { id: 'slow.reading', value: reading.lastSocket.p99, ...problemOf(reading), detail },
        { id: 'slow.p99', value: during.lastSocket.p99, ...problemOf(during), detail },
        { id: 'slow.memory', value: (peak - residentBefore) / 1e6, detail },
      ]
    })
  },
}

/** @param {import('../peers/peers.mjs').Server} server */
function resident(server) {
  return server.processes.reduce((sum, { pid }) => sum + residentBytes(pid), 0)
}
