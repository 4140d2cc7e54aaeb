import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { SharedBuckets } from '../../../src/limits/exchange.js'
import { Limiter } from '../../../src/limits/limiter.js'

/** Shared buckets in memory, on a clock that only tests move. */
function createShared() {
  const emptyAt = new Map<string, number>()
  const clock = { now: 1_000_000 }
  const shared: SharedBuckets & { calls: number; isAway: boolean } = {
    calls: 0,
    isAway: false,
    add: async charges => {
      shared.calls++
      await turn()
      if (shared.isAway) throw new Error('away')
      return charges.map(({ who, costMs }) => {
        emptyAt.set(who, Math.max(clock.now, emptyAt.get(who) ?? 0) + costMs)
        return Math.max(0, emptyAt.get(who)! - clock.now)
      })
    },
  }
  const replica = (limit: number, windowMs: number) => new Limiter({ limit, windowMs, shared, now: () => clock.now })
  return { shared, clock, replica }
}

t.test('replicas together let through one window, and a sixteenth of one more each at most', async t => {
  const { replica, clock } = createShared()
  const replicas = Array.from({ length: 4 }, () => replica(160, 1_000))
  const send = async (each: Limiter) => ((await each.take('a', 1)) === 0 ? 1 : 0)
  let passed = 0
  for (let n = 0; n < 200; n++) {
    for (const each of replicas) passed += await send(each)
    // Exchanges take a turn of the event loop, and this is one.
    await turn()
  }
  t.ok(passed >= 160 && passed <= 160 + 4 * 10, `${passed} of 800`)
  clock.now += 500
  let later = 0
  for (let n = 0; n < 200; n++) {
    for (const each of replicas) later += await send(each)
    await turn()
  }
  t.ok(later <= 80 + 4 * 10, `${later} after half a window`)
})

t.test('far from the limit nobody waits, and Redis is hardly asked', async t => {
  const { shared, replica, clock } = createShared()
  const limiter = replica(10_000, 1_000)
  for (let ms = 0; ms < 5_000; ms++) {
    clock.now++
    for (let n = 0; n < 2; n++) t.equal(limiter.take('a', 1), 0)
  }
  await turn()
  t.ok(shared.calls <= 17, `${shared.calls} exchanges for 10,000 events`)
})

t.test('of two that want the last place on two replicas, one gets it, and the other may come back', async t => {
  const { replica, clock } = createShared()
  const [a, b] = [replica(1, 1_000), replica(1, 1_000)]
  const waits = await Promise.all([a.take('x', 1), b.take('x', 1)])
  t.same([...waits].sort(), [0, 1_000])
  const loser = waits[0] === 0 ? b : a
  for (let turns = 0; turns < 3; turns++) await turn()
  clock.now += 1_000
  t.equal(await loser.take('x', 1), 0, 'what was refused was not charged')
})

t.test(
  'while Redis is away each replica goes on by itself, and what it let through counts when Redis is back',
  async t => {
    const { shared, replica, clock } = createShared()
    const [a, b] = [replica(8, 1_000), replica(8, 1_000)]
    shared.isAway = true
    let passed = 0
    for (let n = 0; n < 20; n++) if ((await a.take('x', 1)) === 0) passed++
    t.equal(passed, 8, 'never less than a whole window, and never more')
    shared.isAway = false
    clock.now += 250
    t.equal(await a.take('x', 1), 0)
    let others = 0
    for (let n = 0; n < 20; n++) if ((await b.take('x', 1)) === 0) others++
    t.ok(others <= 5, `${others}: the other one hears what is still owed`)
  },
)
