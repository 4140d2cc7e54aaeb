import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { SharedBuckets } from '../../../src/limits/exchange.js'
import { Limiter } from '../../../src/limits/limiter.js'

/** Shared buckets in memory, on a clock that only tests move. */
function createShared() {
  const emptyAt = new Map<string, number>()
  const clock = { now: 1_000_000 }
  const shared: SharedBuckets & { calls: number } = {
    calls: 0,
    add: async charges => {
      shared.calls++
      await turn()
      return charges.map(({ who, costMs }) => {
        emptyAt.set(who, Math.max(clock.now, emptyAt.get(who) ?? 0) + costMs)
        return Math.max(0, emptyAt.get(who)! - clock.now)
      })
    },
  }
  const replica = (limit: number, windowMs: number) => new Limiter({ limit, windowMs, shared, now: () => clock.now })
  return { shared, clock, replica }
}

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
