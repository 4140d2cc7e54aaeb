// @ts-check
import { delay, residentBytes } from '../processes.mjs'
import { measured, problemOf, speaking, withServer } from '../session.mjs'

const JWT_SECRET = 'only for the bench, thirty-two characters'

/** @type {import('../session.mjs').Scenario} */
export const idle = {
  name: 'idle',
  title: 'resident memory of an idle connection',
  leavesOut: () => undefined,
  async run(context) {
    const { 'idle-connections': connections } = context.n
    return await withServer(context, {}, async ({ server, load }) => {
      // The first streams also pay for memory that a server needs once, so open some before the measurement.
      await openIdle(context, server, load, 'first', Math.ceil(connections / 100))
      const before = await settledBytes(server)
      await openIdle(context, server, load, 'rest', connections, 100_000)
      const after = await settledBytes(server)
      const detail = { 'before MB': Math.round(before / 1e6), 'after MB': Math.round(after / 1e6) }
      return [
        {
          id: 'idle.memory',
          value: (after - before) / connections / 1024,
          detail,
          ...(await stillOpen(load, 'rest', connections)),
        },
      ]
    })
  },
}

/** @type {import('../session.mjs').Scenario} */
export const heartbeats = {
  name: 'heartbeats',
  title: 'CPU of idle connections with heartbeats every 25 s',
  leavesOut: peer => (peer.protocol === 'plain' && peer.name !== 'better-sse' ? 'sends no heartbeats' : undefined),
  async run(context) {
    const { 'heartbeat-connections': connections, 'heartbeat-seconds': seconds } = context.n
    return await withServer(context, {}, async ({ server, load }) => {
      await openIdle(context, server, load, 'idle', connections)
      await settledBytes(server)
      await load.ask('reset', { group: 'idle' })
      const { cpuMicros, shares } = await measured(server, load, () => delay(seconds * 1000))
      const { bytes } = await load.ask('state', { group: 'idle' })
      const detail = { ...shares, 'bytes/connection': Math.round(bytes / connections) }
      const value = cpuMicros / (seconds * 1e4)
      return [{ id: 'heartbeats.cpu', value, detail, ...(await stillOpen(load, 'idle', connections)) }]
    })
  },
}

/** @type {import('../session.mjs').Scenario} */
export const connect = {
  name: 'connect',
  title: 'new streams',
  leavesOut: () => undefined,
  run: async context => [await connected(context, 'connect.rate')],
}

/** @type {import('../session.mjs').Scenario} */
export const connectJwt = {
  name: 'connect-jwt',
  title: 'new streams, each of another user with a JWT of their own',
  leavesOut: peer => (peer.protocol === 'tidings' ? undefined : 'checks no tokens here'),
  run: async context => [await connected(context, 'connect.jwt', JWT_SECRET)],
}

/**
 * Measures streams opened per second, from the first connect() until the last stream is open.
 * @param {import('../session.mjs').Context} context
 * @param {string} id
 * @param {string} [jwtSecret]
 * @returns {Promise<import('../session.mjs').Figure>}
 */
async function connected(context, id, jwtSecret) {
  const { 'connect-connections': connections, 'connect-concurrency': concurrency } = context.n
  const secret = jwtSecret === undefined ? {} : { jwtSecret }
  return await withServer(
    context,
    jwtSecret === undefined ? {} : { env: { JWT_SECRET: jwtSecret } },
    async ({ server, load }) => {
      const how = { ...speaking(context, server), room: '*', rooms: 1, concurrency, ...secret }
      await load.ask('open', { ...how, group: 'warm-up', connections: Math.ceil(connections / 5), firstUser: 100_000 })
      const { result, cpuMicros, shares } = await measured(server, load, () =>
        load.ask('open', { ...how, group: 'all', connections }),
      )
      const detail = { ...shares, 'us/stream': Math.round(cpuMicros / connections) }
      return { id, value: connections / result.seconds, ...problemOf(result), detail }
    },
  )
}

/**
 * @param {import('../session.mjs').Context} context
 * @param {import('../peers/peers.mjs').Server} server
 * @param {import('../load/load.mjs').Load} load
 * @param {string} group
 * @param {number} connections
 * @param {number} [firstUser]
 */
async function openIdle(context, server, load, group, connections, firstUser = 0) {
  const rooms = { room: 'user:', rooms: connections, firstUser }
  await load.ask('open', { group, ...speaking(context, server), connections, ...rooms, concurrency: 100 })
}

/**
 * Resident bytes once they are stable, or after 15 s.
 * @param {import('../peers/peers.mjs').Server} server
 */
async function settledBytes(server) {
  let last = 0
  let calm = 0
  for (let i = 0; i < 30 && calm < 4; i++) {
    const bytes = server.processes.reduce((sum, { pid }) => sum + residentBytes(pid), 0)
    calm = Math.abs(bytes - last) < 0.005 * bytes ? calm + 1 : 0
    last = bytes
    await delay(500)
  }
  return last
}

/**
 * @param {import('../load/load.mjs').Load} load
 * @param {string} group
 * @param {number} connections
 */
async function stillOpen(load, group, connections) {
  const { open } = await load.ask('state', { group })
  return open === connections ? {} : { problem: `${connections - open} of ${connections} streams were ended` }
}
