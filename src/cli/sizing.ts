import { PAGE_BYTES } from '../bus/bus.js'

/** The load. All options but `users` have a default. */
export interface PlanOptions {
  /** Users connected at the busiest moment. */
  readonly users: number
  /** Streams of one user: tabs and devices. */
  readonly connectionsPerUser?: number
  /** Rooms of a stream that hardly any other stream follows, beside its user's own. */
  readonly ownRoomsPerConnection?: number
  /** Percentage of readers whose queues may be full (QUEUE_LIMIT_BYTES) at once. */
  readonly slowPercent?: number
  /** As QUEUE_LIMIT_BYTES. */
  readonly queueLimitBytes?: number
  /** Events to one user, on average. */
  readonly eventsPerUserHour?: number
  /** Events to everyone. */
  readonly broadcastsPerHour?: number
  /** Bytes of an event's data. */
  readonly bytes?: number
  /** As HISTORY_SIZE. */
  readonly historySize?: number
  /** As HISTORY_TTL_MS. */
  readonly historyTtlMs?: number
  /** Streams that a replica should hold, as the autoscaler's target. */
  readonly connectionsPerReplica?: number
  /** Replicas that may be lost at once, by a node or a zone, without the others passing their target. */
  readonly spareReplicas?: number
}

/** A deployment that carries the load. */
export interface Plan {
  readonly options: Required<PlanOptions>
  readonly connections: number
  readonly replicas: number
  /** CPU cores that one replica uses. `replicas` is high enough to keep it at 0.7 or less. */
  readonly replicaCores: number
  readonly replicaMemoryBytes: number
  /** Memory of a replica at most: MAX_CONNECTIONS streams, each behind by its whole queue. */
  readonly replicaMemoryBoundBytes: number
  /** Descriptors of one replica when it is full. */
  readonly fileDescriptors: number
  /** MAX_CONNECTIONS: leaves room for the streams of a rolling update or a lost replica. */
  readonly maxConnections: number
  readonly publishesPerSecond: number
  readonly deliveriesPerSecond: number
  /** Bytes a second to readers, all replicas together, frames included. */
  readonly egressBytesPerSecond: number
  readonly redis: {
    /** Events in the history of one user's room. */
    readonly eventsPerRoom: number
    readonly historyBytes: number
    readonly indexBytes: number
    /** The right maxmemory: history and index, half as much again, and 64 MiB for Redis itself. */
    readonly maxmemoryBytes: number
    readonly egressBytesPerSecond: number
  }
}

// Measured on the machine of bench/README.md with Node 20 and Redis 7.0; round figures on the safe side.
const PUBLISH_CORE_SECONDS = 140e-6
const RECEIVE_CORE_SECONDS = 8e-6
const DELIVERY_CORE_SECONDS = 11e-6
const CONNECTION_BYTES = 10 * 1024
const OWN_ROOM_BYTES = 700
const PROCESS_BYTES = 100 * 1024 ** 2
// A replica keeps recent events in memory, so that most resumes read nothing from Redis.
const TAIL_LIMIT_BYTES = 64 * 1024 ** 2
const FRAME_OVERHEAD_BYTES = 60
const MAX_REPLICA_CORES = 0.7
const DESCRIPTORS_BESIDES_STREAMS = 200
// A rolling update behind a balancer that spreads new streams evenly: the last old replica takes its share of the streams of all replicas
// before it. It ends up with (1 + 1/n)^(n - 1) times its own, which stays under e.
const DEPLOY_FACTOR = 2.8

// One stream a room. Redis allots a node of 4 KiB at once, fills it up to 4,096 bytes or 100 entries, then trims it to fit.
const STREAM_NODE_BYTES = 4_096
const STREAM_NODE_ENTRIES = 100
const STREAM_ENTRY_OVERHEAD_BYTES = 52
const STREAM_NODE_OVERHEAD_BYTES = 90
const EMPTY_ROOM_BYTES = 300
// A member of the sorted set room -> last seq.
const INDEX_ROOM_BYTES = 112
const INDEX_ROOMS_LIMIT = 100_000
const REDIS_BYTES = 64 * 1024 ** 2

/**
 * What to run for a load: replicas, their memory and descriptors, and the memory of Redis.
 * An estimate, on the safe side for steady traffic: bursts beyond the average need room that only you know.
 * @throws RangeError  an option is no number or out of range; names it
 */
export function planSizing(given: PlanOptions): Plan {
  const options = withDefaults(given)
  const { users, eventsPerUserHour, broadcastsPerHour, bytes, spareReplicas, connectionsPerReplica } = options
  const connections = Math.ceil(users * options.connectionsPerUser)
  const publishesPerSecond = (users * eventsPerUserHour + broadcastsPerHour) / 3_600
  const deliveriesPerSecond = (connections * (eventsPerUserHour + broadcastsPerHour)) / 3_600
  const sharedCores = publishesPerSecond * PUBLISH_CORE_SECONDS + deliveriesPerSecond * DELIVERY_CORE_SECONDS
  // Every replica receives every event, so more replicas do not lower this cost.
  const ownCores = publishesPerSecond * RECEIVE_CORE_SECONDS
  if (ownCores >= MAX_REPLICA_CORES) {
    const most = Math.floor(MAX_REPLICA_CORES / RECEIVE_CORE_SECONDS)
    throw new RangeError(
      `${Math.round(publishesPerSecond)} events a second are more than one bus carries (${most}); ` +
        'use several, each with its own REDIS_PREFIX and replicas',
    )
  }
  const byCpu = Math.ceil(sharedCores / (MAX_REPLICA_CORES - ownCores))
  const needed = Math.max(1, Math.ceil(connections / connectionsPerReplica), byCpu)
  const replicas = needed + spareReplicas
  const maxConnections = roundUp(connectionsPerReplica * DEPLOY_FACTOR, 1_000)
  const restBytes = PROCESS_BYTES + TAIL_LIMIT_BYTES + maxConnections * connectionBytes(options)
  const slowConnections = Math.ceil((maxConnections * options.slowPercent) / 100)
  return {
    options,
    connections,
    replicas,
    replicaCores: ownCores + sharedCores / needed,
    replicaMemoryBytes: restBytes + slowConnections * slowReaderBytes(options),
    replicaMemoryBoundBytes: restBytes + maxConnections * slowReaderBytes(options),
    fileDescriptors: roundUp(maxConnections + DESCRIPTORS_BESIDES_STREAMS, 1_024),
    maxConnections,
    publishesPerSecond,
    deliveriesPerSecond,
    egressBytesPerSecond: deliveriesPerSecond * (bytes + FRAME_OVERHEAD_BYTES),
    redis: planRedis(options, publishesPerSecond, replicas),
  }
}

/** Bytes of Redis memory for the history of one room that holds `events` events of `bytes` bytes each. */
export function historyBytes(events: number, bytes: number): number {
  if (events === 0) return 0
  const entryBytes = bytes + STREAM_ENTRY_OVERHEAD_BYTES
  const perNode = Math.max(1, Math.min(STREAM_NODE_ENTRIES, Math.floor(STREAM_NODE_BYTES / entryBytes)))
  const nodes = Math.ceil(events / perNode)
  const fullNodeBytes = perNode * entryBytes + STREAM_NODE_OVERHEAD_BYTES
  const lastNodeBytes = Math.max(STREAM_NODE_BYTES, entryBytes) + STREAM_NODE_OVERHEAD_BYTES
  return EMPTY_ROOM_BYTES + (nodes - 1) * fullNodeBytes + lastNodeBytes
}

function connectionBytes({ ownRoomsPerConnection }: Required<PlanOptions>): number {
  return CONNECTION_BYTES + ownRoomsPerConnection * OWN_ROOM_BYTES
}

// A slow reader holds its queue and the next page of history.
function slowReaderBytes({ queueLimitBytes }: Required<PlanOptions>): number {
  return queueLimitBytes + Math.min(PAGE_BYTES, queueLimitBytes / 4)
}

/** The plan as text for people: each setting with the figures behind it. */
export function formatPlan(plan: Plan): string {
  const { options, redis } = plan
  const memory = roundUp(plan.replicaMemoryBytes * 1.25, 64 * 1024 ** 2)
  const slow = `${size(slowReaderBytes(options))} a reader that is behind: ${options.slowPercent} %`
  const lines = [
    ['load', ''],
    ['  streams', `${count(plan.connections)} for ${count(options.users)} users`],
    ['  published', `${rate(plan.publishesPerSecond)} events/s`],
    ['  delivered', `${rate(plan.deliveriesPerSecond)} events/s, ${size(plan.egressBytesPerSecond)}/s to readers`],
    ['gateway', ''],
    ['  replicas', `${plan.replicas}, ${options.spareReplicas} of them spare`],
    ['  MAX_CONNECTIONS', `${plan.maxConnections}, autoscaling target ${options.connectionsPerReplica}`],
    ['  memory limit', `${size(memory)} each (${size(connectionBytes(options))} a stream, ${slow})`],
    [
      '  memory bound',
      `${size(plan.replicaMemoryBoundBytes)} each, with every reader behind: MAX_CONNECTIONS x (queue + page)`,
    ],
    ['  CPU', `${plan.replicaCores.toFixed(2)} cores each at this load`],
    ['  descriptors', `${plan.fileDescriptors} each (ulimit -n)`],
    ['Redis', ''],
    ['  history', `${size(redis.historyBytes)}: ${redis.eventsPerRoom} events of ${options.bytes} bytes in each room`],
    ['  index', size(redis.indexBytes)],
    ['  maxmemory', `${size(redis.maxmemoryBytes)} (half as much again, and 64 MiB for Redis itself)`],
    ['  to replicas', `${size(redis.egressBytesPerSecond)}/s: every replica hears every event`],
  ] as const
  const width = Math.max(...lines.map(([name]) => name.length)) + 2
  return `${lines.map(([name, value]) => (name.padEnd(width) + value).trimEnd()).join('\n')}\n`
}

function planRedis(options: Required<PlanOptions>, publishesPerSecond: number, replicas: number): Plan['redis'] {
  const { users, bytes, eventsPerUserHour, broadcastsPerHour, historySize, historyTtlMs } = options
  const hours = historyTtlMs / 3_600_000
  const kept = (perHour: number) => (perHour === 0 ? 0 : Math.min(historySize, Math.max(1, Math.ceil(perHour * hours))))
  const eventsPerRoom = kept(eventsPerUserHour)
  // A room that gets less than one event per `historyTtlMs` has a history for a part of the time only.
  const rooms = Math.ceil(users * Math.min(1, eventsPerUserHour * hours))
  const history = rooms * historyBytes(eventsPerRoom, bytes) + historyBytes(kept(broadcastsPerHour), bytes)
  const index = Math.min(rooms, INDEX_ROOMS_LIMIT) * INDEX_ROOM_BYTES
  return {
    eventsPerRoom,
    historyBytes: history,
    indexBytes: index,
    maxmemoryBytes: roundUp((history + index) * 1.5 + REDIS_BYTES, 64 * 1024 ** 2),
    egressBytesPerSecond: publishesPerSecond * (bytes + FRAME_OVERHEAD_BYTES) * replicas,
  }
}

function withDefaults(given: PlanOptions): Required<PlanOptions> {
  const options = {
    users: given.users,
    connectionsPerUser: given.connectionsPerUser ?? 1.2,
    ownRoomsPerConnection: given.ownRoomsPerConnection ?? 0,
    slowPercent: given.slowPercent ?? 1,
    queueLimitBytes: given.queueLimitBytes ?? 1_048_576,
    eventsPerUserHour: given.eventsPerUserHour ?? 10,
    broadcastsPerHour: given.broadcastsPerHour ?? 0,
    bytes: given.bytes ?? 300,
    historySize: given.historySize ?? 256,
    historyTtlMs: given.historyTtlMs ?? 3_600_000,
    connectionsPerReplica: given.connectionsPerReplica ?? 3_500,
    spareReplicas: given.spareReplicas ?? 1,
  }
  const least: Partial<Record<keyof PlanOptions, number>> = { users: 1, bytes: 1, connectionsPerReplica: 1 }
  for (const [name, value] of Object.entries(options)) {
    // Safe: the names are those of the object above.
    const minimum = least[name as keyof PlanOptions] ?? 0
    if (!Number.isFinite(value) || value < minimum) {
      throw new RangeError(`${name} is '${value}' but must be a number of ${minimum} or more`)
    }
  }
  return options
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function rate(value: number): string {
  return value >= 10 ? count(Math.round(value)) : value.toFixed(2)
}

function size(bytes: number): string {
  for (const [unit, factor] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ] as const) {
    if (bytes >= factor) return `${(bytes / factor).toFixed(bytes >= 10 * factor ? 0 : 1)} ${unit}`
  }
  return `${Math.round(bytes)} B`
}
