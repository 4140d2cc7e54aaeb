import t from 'tap'
import { formatPlan, historyBytes, planSizing } from '../../../src/cli/sizing.js'

// used_memory of Redis 7.0 per room, for streams as append.lua writes them: events, bytes of data, bytes of memory.
const MEASURED = [
  [1, 110, 4_400],
  [20, 110, 4_400],
  [50, 110, 8_613],
  [256, 110, 41_828],
  [10, 400, 8_608],
  [256, 400, 120_783],
  [5, 1_000, 8_097],
  [256, 1_000, 314_058],
  [20, 4_000, 83_360],
  [256, 4_000, 1_064_999],
] as const

t.test('the memory of a room follows what Redis was measured to use, within 15 %', async t => {
  for (const [events, bytes, measured] of MEASURED) {
    const ratio = historyBytes(events, bytes) / measured
    t.ok(ratio > 0.85 && ratio < 1.15, `${events} events of ${bytes} bytes: ${ratio.toFixed(2)} of what was measured`)
  }
  t.equal(historyBytes(0, 100), 0)
})

t.test('100,000 users with 20 events of 400 bytes an hour get replicas, memory and descriptors', async t => {
  const plan = planSizing({ users: 100_000, eventsPerUserHour: 20, bytes: 400 })
  t.equal(plan.connections, 120_000)
  t.equal(plan.replicas, 36)
  t.equal(plan.maxConnections, 10_000)
  t.equal(Math.round(plan.publishesPerSecond), 556)
  t.equal(plan.redis.eventsPerRoom, 20)
  t.ok(plan.fileDescriptors > plan.maxConnections)
  t.ok(plan.maxConnections > plan.options.connectionsPerReplica, 'the target stays under the limit')
})

t.test('memory is that of streams, of their rooms, and of the readers that are behind', async t => {
  const base = { users: 100_000, slowPercent: 0 }
  const plan = planSizing(base)
  const { maxConnections } = plan
  const queueAndPage = 1_048_576 + 131_072
  t.equal(planSizing({ ...base, slowPercent: 5 }).replicaMemoryBytes - plan.replicaMemoryBytes, 500 * queueAndPage)
  t.equal(plan.replicaMemoryBoundBytes - plan.replicaMemoryBytes, maxConnections * queueAndPage)
  const small = planSizing({ ...base, queueLimitBytes: 262_144 })
  t.equal(small.replicaMemoryBoundBytes - small.replicaMemoryBytes, maxConnections * (262_144 + 65_536))
  const rooms = planSizing({ ...base, ownRoomsPerConnection: 100 })
  t.equal(rooms.replicaMemoryBytes - plan.replicaMemoryBytes, maxConnections * 70_000)
})

t.test('history is bounded by its size as well as by its age', async t => {
  const busy = planSizing({ users: 10, eventsPerUserHour: 100_000, bytes: 100, historySize: 50 })
  t.equal(busy.redis.eventsPerRoom, 50)
  const brief = planSizing({ users: 10, eventsPerUserHour: 60, bytes: 100, historyTtlMs: 600_000 })
  t.equal(brief.redis.eventsPerRoom, 10)
  t.equal(planSizing({ users: 10, historySize: 0 }).redis.historyBytes, 0)
})

t.test('busy readers get more replicas than their number alone would', async t => {
  const quiet = planSizing({ users: 2_500, eventsPerUserHour: 1 })
  const busy = planSizing({ users: 2_500, eventsPerUserHour: 1, broadcastsPerHour: 360_000 })
  t.equal(quiet.replicas, 2)
  t.ok(busy.replicas > quiet.replicas)
  t.ok(busy.replicaCores <= 0.7)
})

t.test('a load that no number of replicas carries is refused with a way out', async t => {
  t.throws(() => planSizing({ users: 1_000_000, eventsPerUserHour: 3_600 }), {
    message: /more than one bus carries .87500.; use several, each with its own REDIS_PREFIX/,
  })
})

t.test('an option out of range is refused by its name', async t => {
  t.throws(() => planSizing({ users: 0 }), { message: "users is '0' but must be a number of 1 or more" })
  t.throws(() => planSizing({ users: 1, bytes: Number.NaN }), {
    message: "bytes is 'NaN' but must be a number of 1 or more",
  })
})

t.test('a plan reads as text', async t => {
  t.equal(
    formatPlan(planSizing({ users: 100_000, eventsPerUserHour: 20, bytes: 400 })),
    [
      'load',
      '  streams          120,000 for 100,000 users',
      '  published        556 events/s',
      '  delivered        667 events/s, 299 KiB/s to readers',
      'gateway',
      '  replicas         36, 1 of them spare',
      '  MAX_CONNECTIONS  10000, autoscaling target 3500',
      '  memory limit     512 MiB each (10 KiB a stream, 1.1 MiB a reader that is behind: 1 %)',
      '  memory bound     11 GiB each, with every reader behind: MAX_CONNECTIONS x (queue + page)',
      '  CPU              0.01 cores each at this load',
      '  descriptors      10240 each (ulimit -n)',
      'Redis',
      '  history          1.2 GiB: 20 events of 400 bytes in each room',
      '  index            11 MiB',
      '  maxmemory        1.9 GiB (half as much again, and 64 MiB for Redis itself)',
      '  to replicas      8.8 MiB/s: every replica hears every event',
      '',
    ].join('\n'),
  )
})
