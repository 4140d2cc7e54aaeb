import { type Command, required, UsageError, type Values, whole } from './command.js'

/** `tidings plan` */
export const plan: Command = {
  summary: 'what to run for a load: replicas, their memory and descriptors, the memory of Redis',
  flags: {
    users: { type: 'string', value: 'N', about: 'users connected at the busiest moment' },
    'events-per-user-hour': { type: 'string', value: 'N', about: 'events to one user' },
    'broadcasts-per-hour': { type: 'string', value: 'N', about: 'events to everyone' },
    bytes: { type: 'string', value: 'N', about: "bytes of an event's data" },
    'connections-per-user': { type: 'string', value: 'X', about: 'streams of one user: tabs and devices' },
    'own-rooms': { type: 'string', value: 'N', about: 'rooms of a stream that hardly anybody else follows' },
    'slow-percent': { type: 'string', value: 'X', about: 'readers of a hundred that may be behind at once' },
    'queue-limit-bytes': { type: 'string', value: 'N', about: 'as QUEUE_LIMIT_BYTES' },
    'connections-per-replica': { type: 'string', value: 'N', about: "the autoscaler's target" },
    'spare-replicas': { type: 'string', value: 'N', about: 'replicas that may be lost at once' },
    'history-size': { type: 'string', value: 'N', about: 'as HISTORY_SIZE' },
    'history-ttl-ms': { type: 'string', value: 'N', about: 'as HISTORY_TTL_MS' },
    json: { type: 'boolean', about: 'for programs' },
  },
  examples: ['tidings plan --users 100000 --events-per-user-hour 20 --bytes 400'],
  async run(values) {
    const { formatPlan, planSizing } = await import('./sizing.js')
    required(values, 'users')
    const given = {
      users: whole(values, 'users') ?? 0,
      ...number(values, 'events-per-user-hour', 'eventsPerUserHour'),
      ...number(values, 'broadcasts-per-hour', 'broadcastsPerHour'),
      ...number(values, 'bytes', 'bytes'),
      ...number(values, 'connections-per-user', 'connectionsPerUser'),
      ...number(values, 'own-rooms', 'ownRoomsPerConnection'),
      ...number(values, 'slow-percent', 'slowPercent'),
      ...number(values, 'queue-limit-bytes', 'queueLimitBytes'),
      ...number(values, 'connections-per-replica', 'connectionsPerReplica'),
      ...number(values, 'spare-replicas', 'spareReplicas'),
      ...number(values, 'history-size', 'historySize'),
      ...number(values, 'history-ttl-ms', 'historyTtlMs'),
    }
    try {
      const sized = planSizing(given)
      process.stdout.write(values.json === true ? `${JSON.stringify(sized)}\n` : `${formatPlan(sized).trimEnd()}\n`)
    } catch (error) {
      if (error instanceof RangeError) throw new UsageError(error.message)
      throw error
    }
    return 0
  },
}

function number<Name extends string>(values: Values, flag: string, name: Name): { [name in Name]?: number } {
  const value = values[flag]
  if (typeof value !== 'string') return {}
  if (!/^\d+(\.\d+)?$/.test(value)) throw new UsageError(`--${flag} is '${value}' but must be a number`)
  // Safe: it has the one member that the type names.
  return { [name]: Number(value) } as { [name in Name]?: number }
}
