// @ts-check
import { fileURLToPath } from 'node:url'
import { Load } from '../load/load.mjs'
import { measured, problemOf, speaking, withServer } from '../session.mjs'

const EMITTER = fileURLToPath(new URL('../load/emitter.mjs', import.meta.url))

/** @param {import('../peers/peers.mjs').Peer} peer */
const onlyTidingsRedis = peer =>
  peer.protocol === 'tidings' && peer.adapter === 'redis' ? undefined : 'has no emitter beside its server to compare'

/** @type {import('../session.mjs').Scenario} */
export const emitter = {
  name: 'emitter',
  title: 'events for single users from a worker, through Redis',
  leavesOut: onlyTidingsRedis,
  async run(context) {
    const { 'emitter-rate': rate, 'emitter-batch-rate': batchRate } = context.n
    return [
      await emitted(context, { id: 'emitter.cpu', follows: 'user:', to: 'user:', rate, batch: 1 }),
      await emitted(context, { id: 'emitter.batch', follows: 'user:', to: 'user:', rate: batchRate, batch: 100 }),
    ]
  },
}

/** @type {import('../session.mjs').Scenario} */
export const unfollowed = {
  name: 'unfollowed',
  title: 'events from Redis that nobody here follows',
  leavesOut: onlyTidingsRedis,
  async run(context) {
    // At a low rate the process is woken for each event, and the figure would show that cost. At a high rate the core that the
    // worker shares with Redis is the bottleneck: at 20,000 a second, answers came later and later, and some too late.
    const { 'unfollowed-rate': rate } = context.n
    const where = { follows: 'user:', to: 'elsewhere:' }
    return [
      await emitted(context, { id: 'unfollowed.cpu', ...where, rate, batch: 1 }),
      await emitted(context, { id: 'unfollowed.batch', ...where, rate, batch: 100 }),
    ]
  },
}

/** @type {import('../session.mjs').Scenario} */
export const replicas = {
  name: 'replicas',
  title: 'publish on replica A over HTTP, delivery by replica B',
  leavesOut: peer =>
    peer.protocol === 'tidings' && peer.adapter === 'redis' ? undefined : 'is measured as one process',
  async run(context) {
    const { connections, 'replica-rate': rate, seconds, 'warm-up': warmUp } = context.n
    return await withServer(context, { replicas: 2 }, async ({ server, load }) => {
      const [portA = 0, portB = 0] = server.ports
      const where = { group: 'users', protocol: context.peer.protocol, ports: [portB], port: portA }
      await load.ask('open', { ...where, connections, room: 'user:', rooms: connections, concurrency: 100 })
      await load.ask('publish', { ...where, rate, seconds: warmUp })
      const { result, each, shares } = await measured(server, load, () =>
        load.ask('publish', { ...where, rate, seconds }),
      )
      const perEvent = Object.fromEntries(
        each.map(({ name, micros }) => [`${name} us/event`, Math.round(micros / result.sent)]),
      )
      const detail = { ...shares, ...perEvent }
      return [
        { id: 'replicas.p50', value: result.latency.p50, ...problemOf(result), detail },
        { id: 'replicas.p99', value: result.latency.p99, ...problemOf(result), detail },
      ]
    })
  },
}

/**
 * Measures the gateway's CPU time per event that an emitter in another process publishes.
 * @param {import('../session.mjs').Context} context
 * @param {{ id: string, follows: string, to: string, rate: number, batch: number }} how
 * @returns {Promise<import('../session.mjs').Figure>}
 */
async function emitted(context, { id, follows, to, rate, batch }) {
  const { connections, seconds, 'warm-up': warmUp, bytes } = context.n
  return await withServer(context, {}, async ({ server, load }) => {
    const worker = new Load(EMITTER)
    try {
      const where = { group: 'users', ...speaking(context, server) }
      await load.ask('open', { ...where, connections, room: follows, rooms: connections, concurrency: 100 })
      await worker.ask('connect', { redisUrl: server.redisUrl })
      /** @param {number} length */
      const emit = async length => {
        const sent = await worker.ask('emit', { to, rooms: connections, rate, batch, bytes, seconds: length })
        // The bus has one order, so once a last event has arrived, all events before it are done.
        if (to !== follows)
          await worker.ask('emit', { to: follows, rooms: connections, rate, batch: 1, bytes, seconds: 1 / rate })
        return { ...sent, ...(await load.ask('await', { group: 'users', delivered: to === follows ? sent.sent : 1 })) }
      }
      await load.ask('reset', { group: 'users' })
      await emit(warmUp)
      await load.ask('reset', { group: 'users' })
      const { result, cpuMicros, shares } = await measured(server, load, () => emit(seconds), worker)
      const detail = {
        ...shares,
        'emitter us/event': Math.round((10 * result.emitCpuMicros) / result.sent) / 10,
        'p99 ms': result.latency.p99,
      }
      return { id, value: cpuMicros / result.sent, ...problemOf(result), detail }
    } finally {
      await worker.stop()
    }
  })
}
