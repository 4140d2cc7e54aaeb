// @ts-check
import { measured, problemOf, speaking, withServer } from '../session.mjs'

const CONCURRENCY = 100

/** @type {import('../session.mjs').Scenario} */
export const broadcast = {
  name: 'broadcast',
  title: 'everyone gets every event, at a fixed rate',
  leavesOut: () => undefined,
  async run(context) {
    const { connections, seconds, rate } = context.n
    return await withServer(context, {}, async ({ server, load }) => {
      const { result, cpuMicros, shares } = await broadcastAtRate(context, server, load, { connections, seconds, rate })
      return [
        { id: 'broadcast.cpu', value: cpuMicros / result.delivered, ...problemOf(result), detail: shares },
        { id: 'broadcast.p99', value: result.lastSocket.p99, ...problemOf(result), detail: shares },
      ]
    })
  },
}

/** @type {import('../session.mjs').Scenario} */
export const saturation = {
  name: 'saturation',
  title: 'everyone gets every event, as many as the server can, one request an event',
  leavesOut: () => undefined,
  run: async context => [await saturated(context, 'saturation.rate', { batch: 20, isPipelined: true })],
}

/** @type {import('../session.mjs').Scenario} */
export const saturationBatch = {
  name: 'saturation-batch',
  title: 'the same, published in NDJSON batches of 50',
  leavesOut: peer => (peer.abilities.includes('batch') ? undefined : 'has no call that publishes many'),
  run: async context => [await saturated(context, 'saturation.batch', { batch: 50, isPipelined: false })],
}

/**
 * Measures deliveries per second with a constant window of events in flight, until the last event has arrived.
 * @param {import('../session.mjs').Context} context
 * @param {string} id
 * @param {{ batch: number, isPipelined: boolean }} sending
 * @returns {Promise<import('../session.mjs').Figure>}
 */
async function saturated(context, id, sending) {
  const { connections, seconds, 'warm-up': warmUp, window, bytes } = context.n
  return await withServer(context, {}, async ({ server, load }) => {
    await openEveryone(context, server, load, connections)
    const how = { group: 'everyone', ...speaking(context, server), window, bytes, ...sending }
    await load.ask('publish', { ...how, seconds: warmUp })
    const { result, cpuMicros, shares } = await measured(server, load, () => load.ask('publish', { ...how, seconds }))
    const detail = { ...shares, 'us/delivery': cpuMicros / result.delivered, 'p99 ms': result.latency.p99 }
    return { id, value: result.delivered / result.seconds, ...problemOf(result), detail }
  })
}

/** @type {import('../session.mjs').Scenario} */
export const half = {
  name: 'half',
  title: 'publish to the last of all sockets, at half of saturation',
  leavesOut: () => undefined,
  async run(context) {
    const { connections, seconds } = context.n
    const saturated = context.known('saturation.rate') ?? (await saturation.run(context))[0]?.value ?? 0
    const rate = saturated / 2 / connections
    return await withServer(context, {}, async ({ server, load }) => {
      const { result, shares } = await broadcastAtRate(context, server, load, { connections, seconds, rate })
      const detail = { ...shares, 'events/s': Math.round(rate), 'p50 ms': result.lastSocket.p50 }
      return [{ id: 'half.p99', value: result.lastSocket.p99, ...problemOf(result), detail }]
    })
  },
}

/** For the charts. @type {import('../session.mjs').Scenario} */
export const curves = {
  name: 'curves',
  title: 'latency against load, CPU per delivery against connections',
  isLong: true,
  leavesOut: peer =>
    ['tidings', 'nchan', 'socket.io', 'plain Node'].includes(peer.name)
      ? undefined
      : 'is not drawn: four lines can be told apart',
  async run(context) {
    const { connections, seconds, rate } = context.n
    /** @type {import('../session.mjs').Figure[]} */
    const figures = []
    for (const load of [20_000, 50_000, 100_000, 200_000, 400_000, 800_000]) {
      // Past saturation a server's queue only grows: the latency would depend on the length of the measurement.
      if (load > 0.9 * (context.known('saturation.rate') ?? Number.POSITIVE_INFINITY)) break
      const point = await atRate(context, { connections, seconds: seconds / 2, rate: load / connections })
      figures.push({ id: `curve.latency.${load}`, value: point.result.lastSocket.p99, ...problemOf(point.result) })
    }
    for (const share of [0.05, 0.25, 0.5, 1, 2.5, 5]) {
      const count = Math.round(connections * share)
      const point = await atRate(context, {
        connections: count,
        seconds: seconds / 2,
        rate: Math.min(rate, 60_000 / count),
      })
      figures.push({
        id: `curve.cpu.${count}`,
        value: point.cpuMicros / point.result.delivered,
        ...problemOf(point.result),
      })
    }
    return figures
  },
}

/** @type {import('../session.mjs').Scenario} */
export const room = {
  name: 'room',
  title: 'one room with many followers',
  leavesOut: () => undefined,
  async run(context) {
    const { 'room-connections': connections, seconds, 'warm-up': warmUp } = context.n
    return await withServer(context, {}, async ({ server, load }) => {
      await openEveryone(context, server, load, connections, 'project')
      const how = { group: 'everyone', ...speaking(context, server), rate: 4, connections: 1 }
      await load.ask('publish', { ...how, seconds: warmUp })
      const { result, cpuMicros, shares } = await measured(server, load, () => load.ask('publish', { ...how, seconds }))
      return [
        { id: 'room.cpu', value: cpuMicros / result.delivered, ...problemOf(result), detail: shares },
        { id: 'room.p99', value: result.lastSocket.p99, ...problemOf(result), detail: shares },
      ]
    })
  },
}

/**
 * @param {import('../session.mjs').Context} context
 * @param {{ connections: number, seconds: number, rate: number }} how
 */
async function atRate(context, how) {
  return await withServer(context, {}, ({ server, load }) => broadcastAtRate(context, server, load, how))
}

/**
 * @param {import('../session.mjs').Context} context
 * @param {import('../peers/peers.mjs').Server} server
 * @param {import('../load/load.mjs').Load} load
 * @param {{ connections: number, seconds: number, rate: number }} how
 */
async function broadcastAtRate(context, server, load, { connections, seconds, rate }) {
  await openEveryone(context, server, load, connections)
  /** @param {number} length */
  const publish = length =>
    load.ask('publish', {
      group: 'everyone',
      ...speaking(context, server),
      rate,
      seconds: length,
      bytes: context.n.bytes,
    })
  await publish(context.n['warm-up'])
  return await measured(server, load, () => publish(seconds))
}

/**
 * @param {import('../session.mjs').Context} context
 * @param {import('../peers/peers.mjs').Server} server
 * @param {import('../load/load.mjs').Load} load
 * @param {number} connections
 * @param {string} [name]
 */
async function openEveryone(context, server, load, connections, name = '*') {
  await load.ask('open', {
    group: 'everyone',
    ...speaking(context, server),
    connections,
    room: name,
    rooms: 1,
    concurrency: CONCURRENCY,
    // Sample, or the load generator would become the bottleneck by recording millions of arrivals.
    sampleEvery: 16,
  })
}
