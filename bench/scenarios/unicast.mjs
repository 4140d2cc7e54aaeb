// @ts-check
import { measured, problemOf, speaking, withServer } from '../session.mjs'

/** @type {import('../session.mjs').Scenario} */
export const unicast = {
  name: 'unicast',
  title: 'one publish over HTTP for one user with one connection',
  leavesOut: () => undefined,
  async run(context) {
    const { connections, 'unicast-window': window } = context.n
    return [await toRooms(context, 'unicast.cpu', { connections, room: 'user:', window, batch: 1 })]
  },
}

/** @type {import('../session.mjs').Scenario} */
export const batch = {
  name: 'batch',
  title: 'NDJSON batches of 100 events, each for one user',
  leavesOut: peer => (peer.abilities.includes('batch') ? undefined : 'has no call that publishes many'),
  async run(context) {
    const { connections, 'batch-window': window } = context.n
    return [await toRooms(context, 'batch.cpu', { connections, room: 'user:', window, batch: 100 })]
  },
}

/** @type {import('../session.mjs').Scenario} */
export const rooms = {
  name: 'rooms',
  title: 'many rooms with one follower each',
  leavesOut: () => undefined,
  async run(context) {
    const { 'room-connections': connections, 'unicast-window': window } = context.n
    return [await toRooms(context, 'rooms.cpu', { connections, room: 'project:', window, batch: 1 })]
  },
}

/**
 * Measures the server's CPU time per event that is published to one of many rooms and delivered to its one connection.
 * @param {import('../session.mjs').Context} context
 * @param {string} id
 * @param {{ connections: number, room: string, window: number, batch: number }} how
 * @returns {Promise<import('../session.mjs').Figure>}
 */
async function toRooms(context, id, { connections, room, window, batch }) {
  return await withServer(context, {}, async ({ server, load }) => {
    const where = { group: 'users', ...speaking(context, server) }
    await load.ask('open', { ...where, connections, room, rooms: connections, concurrency: 100 })
    const how = { window, batch, bytes: context.n.bytes, connections: 16 }
    const { seconds, 'warm-up': warmUp } = context.n
    await load.ask('publish', { ...where, ...how, seconds: warmUp })
    const { result, cpuMicros, shares } = await measured(server, load, () =>
      load.ask('publish', { ...where, ...how, seconds }),
    )
    const detail = {
      ...shares,
      'events/s': result.sent / result.seconds,
      'p50 ms': result.latency.p50,
      'p99 ms': result.latency.p99,
    }
    return { id, value: cpuMicros / result.sent, ...problemOf(result), detail }
  })
}
