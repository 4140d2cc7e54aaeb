import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Config } from '../src/config/config.js'
import { version } from '../src/version.js'

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
const LAG_SAMPLE_MS = 1_000

type Failure = 'unavailable' | 'uncertain' | 'forbidden' | 'invalid' | 'rate' | 'other'

declare module 'fastify' {
  interface FastifyInstance {
    /** The metrics of this gateway. */
    tidingsMetrics: Registry
  }
}

// The core counts in plain numbers, and this plugin gives them Prometheus' names at each scrape. Only publishes are measured here,
// by hooks on their own routes, so that streams and deliveries pay nothing.
async function metrics(app: FastifyInstance, { config }: { config: Config }): Promise<void> {
  const registry = new Registry()
  app.decorate('tidingsMetrics', registry)
  addState(registry, app, config)
  addCounts(registry, app)
  addPublishes(registry, app)
  sampleLag(registry, app)
}

function addState(registry: Registry, { tidings }: FastifyInstance, { adapter, maxConnections }: Config): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  const labelNames = ['version', 'node', 'adapter']
  const info = new Gauge({ name: 'tidings_build_info', help: 'What runs here', labelNames, registers: [registry] })
  info.set({ version, node: process.versions.node, adapter }, 1)
  gauge('tidings_ready', '1 while /readyz answers 200', () =>
    Number(tidings.isReady && tidings.busHealth.status !== 'starting'),
  )
  gauge('tidings_redis_up', '1 while publishes and the subscription work', () =>
    Number(tidings.busHealth.status === 'ok'),
  )
  gauge('tidings_connections', 'Streams open now', () => tidings.connections.size)
  gauge('tidings_connections_limit', 'MAX_CONNECTIONS', () => maxConnections)
  gauge('tidings_rooms', 'Rooms that a connection of this replica follows', () => tidings.roomCount)
  gauge('tidings_queue_bytes', 'Bytes that wait for readers', () => {
    let bytes = 0
    for (const connection of tidings.connections) bytes += connection.queuedBytes
    return bytes
  })
}

function addCounts(registry: Registry, { tidings }: FastifyInstance): void {
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(read())
      },
    })
  counter('tidings_connections_opened_total', 'Streams opened', () => tidings.counts.opened)
  counter('tidings_events_received_total', 'Events that came from the bus', () => tidings.counts.received)
  counter('tidings_events_delivered_total', 'Events handed to connections', () => tidings.counts.delivered)
  counter('tidings_events_skipped_total', 'Ephemeral events kept from slow readers', () => tidings.counts.skipped)
  counter('tidings_bytes_sent_total', 'Bytes of events handed to sockets', () => tidings.counts.bytes)
  counter('tidings_bus_catchups_total', 'Holes closed from history', () => tidings.busCounts.catchUps)
  counter('tidings_history_reads_total', 'Pages of history read from Redis', () => tidings.busCounts.historyReads)

  countBy(registry, 'tidings_connections_closed_total', 'Streams ended or turned away', 'reason', () => {
    return tidings.counts.closed
  })
  countBy(registry, 'tidings_gaps_total', 'Losses announced by stream.gap', 'reason', () => tidings.counts.gaps)
  countBy(registry, 'tidings_resumes_total', 'What stream.open said', 'outcome', () => {
    const { first, whole, lost } = tidings.counts.resumed
    return { first, complete: whole, incomplete: lost }
  })
}

function addPublishes(registry: Registry, app: FastifyInstance): void {
  const published = { user: 0, room: 0, broadcast: 0, batch: 0 }
  const failed: Record<Failure, number> = { unavailable: 0, uncertain: 0, forbidden: 0, invalid: 0, rate: 0, other: 0 }
  let embedded = 0
  countBy(registry, 'tidings_events_published_total', 'Events accepted here', 'route', () => {
    const throughDoors = Object.values(published).reduce((sum, count) => sum + count, 0)
    // The gateway counts a publish before its route does. A counter must never fall, so keep the maximum.
    embedded = Math.max(embedded, app.tidings.counts.published - throughDoors)
    return { ...published, embedded }
  })
  countBy(registry, 'tidings_publish_failures_total', 'Publishes not accepted', 'reason', () => failed)
  const latency = new Histogram({
    name: 'tidings_publish_duration_seconds',
    help: 'From the publish request to its answer',
    buckets: SECONDS,
    registers: [registry],
  })
  app.addHook('onRoute', route => {
    const door = route.config?.door
    if (door === undefined) return
    route.onResponse = [
      route.onResponse ?? [],
      (_: unknown, reply: { elapsedTime: number }, done: () => void) => {
        latency.observe(reply.elapsedTime / 1_000)
        done()
      },
    ].flat()
    route.preSerialization = [
      route.preSerialization ?? [],
      (_: unknown, reply: { statusCode: number }, payload: unknown, done: (error: null, payload: unknown) => void) => {
        if (reply.statusCode === 202) published[door] += countEvents(payload)
        else failed[failureOf(reply.statusCode, payload)]++
        done(null, payload)
      },
    ].flat()
  })
}

// How many events an answer says were published: one, or the items of a batch, without those of repeated keys.
function countEvents(payload: unknown): number {
  if (typeof payload !== 'object' || payload === null) return 0
  if ('events' in payload && Array.isArray(payload.events)) return payload.events.reduce(sumEvents, 0)
  return 'duplicate' in payload ? 0 : 1
}

function sumEvents(sum: number, payload: unknown): number {
  return sum + countEvents(payload)
}

function failureOf(statusCode: number, payload: unknown): Failure {
  const code = typeof payload === 'object' && payload !== null && 'code' in payload ? payload.code : ''
  if (code === 'TIDINGS_BUS_UNCERTAIN') return 'uncertain'
  if (statusCode === 503) return 'unavailable'
  if (statusCode === 401 || statusCode === 403) return 'forbidden'
  if (statusCode === 429) return 'rate'
  return statusCode >= 400 && statusCode < 500 ? 'invalid' : 'other'
}

function sampleLag(registry: Registry, app: FastifyInstance): void {
  const help = "The way of this replica's own message through the bus"
  const lag = new Histogram({ name: 'tidings_bus_lag_seconds', help, buckets: SECONDS, registers: [registry] })
  const timer = setInterval(() => {
    const { status, lagMs } = app.tidings.busHealth
    // While the bus is away the last lag is out of date; `tidings_redis_up` tells.
    if (status === 'ok' && lagMs !== null) lag.observe(lagMs / 1_000)
  }, LAG_SAMPLE_MS).unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

function countBy(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  read: () => Readonly<Record<string, number>>,
): void {
  new Counter({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      this.reset()
      for (const [value, count] of Object.entries(read())) this.inc({ [label]: value }, count)
    },
  })
}

export default fp(metrics, { name: 'tidings-metrics', fastify: '5.x', dependencies: ['tidings-gateway'] })
