import fc from 'fast-check'
import t from 'tap'
import type { SharedBuckets } from '../../../src/limits/exchange.js'
import { Limiter } from '../../../src/limits/limiter.js'

/** A limiter whose clock stands still until it is moved. */
function limiterOf(limit: number, windowMs: number, more: { shared?: SharedBuckets; most?: number } = {}) {
  const clock = { now: 1_000_000 }
  const { shared = null, ...others } = more
  const limiter = new Limiter({ limit, windowMs, shared, now: () => clock.now, ...others })
  return { limiter, clock }
}

t.test('a whole window is let through at once, then one event each time that one has drained', async t => {
  const { limiter, clock } = limiterOf(4, 1_000)
  for (let n = 0; n < 4; n++) t.equal(limiter.take('a', 1), 0)
  t.equal(limiter.take('a', 1), 250, 'until there is room for one')
  clock.now += 249
  t.equal(limiter.take('a', 1), 1)
  clock.now += 1
  t.equal(limiter.take('a', 1), 0)
  t.equal(limiter.take('a', 1), 250)
  clock.now += 10_000
  for (let n = 0; n < 4; n++) t.equal(limiter.take('a', 1), 0, 'no more than a window is ever saved up')
  t.equal(limiter.take('a', 1), 250)
})

t.test('a batch beyond the limit passes once, and its debt is waited out to the millisecond', async t => {
  const { limiter, clock } = limiterOf(10, 1_000)
  t.equal(limiter.take('a', 1), 0)
  t.equal(limiter.takeRest('a', 999), 0)
  t.equal(limiter.take('a', 1), 99_100, '1,000 events at 10 a second, but for the 9 that may stand')
  clock.now += 99_099
  t.equal(limiter.take('a', 1), 1)
  clock.now += 1
  t.equal(limiter.take('a', 1), 0)
})

t.test('of batches that come at the same time under a limit for one, one passes', async t => {
  const { limiter } = limiterOf(2, 1_000)
  t.same([limiter.take('a', 1), limiter.take('a', 1), limiter.take('a', 1)], [0, 0, 500])
  t.equal(limiter.takeRest('a', 999), 0)
  t.equal(limiter.takeRest('a', 999), 499_500, 'the other one finds the debt of the first')
})

t.test('what has happened already is charged, whatever the debt', async t => {
  const { limiter, clock } = limiterOf(60, 60_000)
  t.equal(limiter.take('a', 0), 0, 'to look charges nothing')
  limiter.charge('a', 1_000)
  limiter.charge('a', 1_000)
  t.equal(limiter.take('a', 0), 1_941_000)
  clock.now += 1_941_000
  t.equal(limiter.take('a', 0), 0)
  t.equal(limiter.take('a', 0), 0)
})

t.test('each has a bucket of its own', async t => {
  const { limiter } = limiterOf(1, 1_000)
  t.equal(limiter.take('a', 1_000), 0)
  t.equal(limiter.take('b', 1), 0)
  t.equal(limiter.take('a', 1), 1_000_000)
})

t.test('however requests come, nobody gets more than a window, what drains meanwhile, and one request', async t => {
  const step = fc.record({ passes: fc.nat(700), events: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 50 })) })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.array(step, { maxLength: 60 }), (limit, steps) => {
      const { limiter, clock } = limiterOf(limit, 1_000)
      const passed: { at: number; events: number }[] = []
      for (const { passes, events } of steps) {
        clock.now += passes
        if (limiter.take('a', events) === 0) passed.push({ at: clock.now, events })
      }
      // Of any stretch: all but the last of its requests fit into the limit.
      return passed.every((first, from) =>
        passed.slice(from).every(({ at }, i) => {
          const before = passed.slice(from, from + i).reduce((sum, { events }) => sum + events, 0)
          return before + 1 <= limit * (1 + (at - first.at) / 1_000) + 0.001 || i === 0
        }),
      )
    }),
  )
  t.pass('for all')
})

t.test('whoever waits as long as was said is let through', async t => {
  const step = fc.record({ events: fc.integer({ min: 1, max: 2_000 }), isRest: fc.boolean() })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20_000 }), fc.array(step, { maxLength: 30 }), (limit, steps) => {
      const { limiter, clock } = limiterOf(limit, 1_000)
      for (const { events } of steps) {
        const waitMs = limiter.take('a', events)
        if (typeof waitMs !== 'number') return false
        if (waitMs === 0) continue
        clock.now += waitMs
        if (limiter.take('a', events) !== 0) return false
      }
      return true
    }),
  )
  t.pass('for all')
})

t.test(
  'only so many are known, those who owe nothing are forgotten, and a flood of others frees no debtor',
  async t => {
    const { limiter, clock } = limiterOf(10, 1_000, { most: 1_000 })
    limiter.charge('debtor', 5_000)
    for (let n = 0; n < 20_000; n++) limiter.take(`passer-by ${n}`, 1)
    t.equal(limiter.size, 1_000)
    t.equal(limiter.take('debtor', 1), 499_100)
    clock.now += 2_000
    for (let n = 0; n < 2_000; n++) limiter.take('another', 0) || limiter.take('another', 1)
    t.ok(limiter.size <= 2, `${limiter.size}: the debtor and the one who is there`)
    t.equal(limiter.take('debtor', 1), 497_100)
  },
)
