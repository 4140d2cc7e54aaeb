// @ts-check
import { Load } from '../load/load.mjs'
import { measured, problemOf, speaking, withServer } from '../session.mjs'

const LIVE_CONNECTIONS = 200
const LIVE_RATE = 20
const WITHIN_SECONDS = 60

/** @type {import('../session.mjs').Scenario} */
export const storm = {
  name: 'storm',
  title: 'many connections cut at once come back at once, each with events it missed, while others are served',
  leavesOut: peer => (peer.abilities.includes('resume') ? undefined : 'cannot resume'),
  async run(context) {
    const { 'storm-connections': connections, 'storm-rooms': shared } = context.n
    return [
      ...(await stormOver(context, 'storm.rooms', shared)),
      ...(await stormOver(context, 'storm.users', connections)),
    ]
  },
}

/**
 * @param {import('../session.mjs').Context} context
 * @param {string} id
 * @param {number} rooms  that the connections are spread over
 * @returns {Promise<import('../session.mjs').Figure[]>}
 */
async function stormOver(context, id, rooms) {
  const { 'storm-connections': connections, 'storm-missed': missed } = context.n
  const settings = { env: { HISTORY_SIZE: '256' } }
  return await withServer(context, settings, async ({ server, load }) => {
    const bystanders = new Load()
    try {
      const speak = speaking(context, server)
      const lost = { group: 'lost', ...speak }
      const live = { group: 'live', ...speak }
      const room = { room: 'project:', rooms, resumes: true }
      await load.ask('open', { ...lost, connections, ...room, concurrency: 100 })
      await bystanders.ask('open', {
        ...live,
        connections: LIVE_CONNECTIONS,
        room: 'news',
        rooms: 1,
        firstUser: 1_000_000,
        concurrency: 100,
      })
      // Publish one round first: not every server gives a position before the first event.
      const sending = { order: 'round', batch: 100, connections: 1 }
      await load.ask('publish', { ...lost, ...sending, count: rooms })
      await load.ask('cut', { group: 'lost' })
      await load.ask('publish', { ...lost, ...sending, count: rooms * missed, isWaiting: false })
      const calm = await bystanders.ask('publish', { ...live, rate: LIVE_RATE, seconds: 2 })

      const publishing = bystanders.ask('publish', { ...live, rate: LIVE_RATE, seconds: WITHIN_SECONDS })
      const { result, shares } = await measured(server, load, () =>
        load.ask('comeBack', { group: 'lost', concurrency: connections, missed, withinSeconds: WITHIN_SECONDS }),
      )
      await bystanders.ask('stop', { group: 'live' })
      const during = await publishing

      const detail = {
        ...shares,
        'all open s': result.openSeconds,
        'turned away': result.turnedAway,
        'losses announced': result.announced,
        'live p99 before ms': calm.lastSocket.p99,
      }
      return [
        { id: `${id}.seconds`, value: result.seconds, ...problemOf(result), detail },
        { id: `${id}.live`, value: during.lastSocket.p99, ...problemOf(during), detail },
      ]
    } finally {
      await bystanders.stop()
    }
  })
}
