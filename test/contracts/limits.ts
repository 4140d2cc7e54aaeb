import fc from 'fast-check'
import type { Test } from 'tap'
import type { Limiter } from '../../src/limits/limiter.js'

/** A limit that nobody used before. Its clock stands still until it is moved. */
export interface TestLimit {
  readonly limiter: Limiter
  readonly clock: { readonly now: number }
  advance(ms: number): Promise<void>
}
export type CreateLimit = (t: Test, limit: number, windowMs: number) => TestLimit | Promise<TestLimit>

const HOUR_MS = 3_600_000

/** What every limit must do for one replica, whoever keeps its buckets. */
export function testLimits(t: Test, create: CreateLimit): void {
  t.test('a whole window is let through at once, then one event each time that one has drained', async t => {
    const { limiter, advance } = await create(t, 4, 1_000)
    for (let n = 0; n < 4; n++) t.equal(await limiter.take('a', 1), 0)
    t.equal(await limiter.take('a', 1), 250, 'until there is room for one')
    await advance(249)
    t.equal(await limiter.take('a', 1), 1)
    await advance(1)
    t.equal(await limiter.take('a', 1), 0)
    t.equal(await limiter.take('a', 1), 250)
    await advance(10_000)
    for (let n = 0; n < 4; n++) t.equal(await limiter.take('a', 1), 0, 'no more than a window is ever saved up')
    t.equal(await limiter.take('a', 1), 250)
  })

  t.test('a window drains evenly: each quarter of it makes room for a quarter of the limit', async t => {
    const { limiter, advance } = await create(t, 8, HOUR_MS)
    const passed = async () => {
      let count = 0
      while ((await limiter.take('a', 1)) === 0) count++
      return count
    }
    t.equal(await passed(), 8)
    for (let quarter = 0; quarter < 6; quarter++) {
      await advance(HOUR_MS / 4)
      t.equal(await passed(), 2)
    }
  })

  t.test('a batch beyond the limit passes once, and its debt is waited out to the millisecond', async t => {
    const { limiter, advance } = await create(t, 10, 1_000)
    t.equal(await limiter.take('a', 1), 0)
    t.equal(await limiter.takeRest('a', 999), 0)
    t.equal(await limiter.take('a', 1), 99_100, '1,000 events at 10 a second, but for the 9 that may stand')
    await advance(99_099)
    t.equal(await limiter.take('a', 1), 1)
    await advance(1)
    t.equal(await limiter.take('a', 1), 0)
  })

  t.test('a batch beyond the limit passes in one request too, while there is room for one event', async t => {
    const { limiter, advance } = await create(t, 10, HOUR_MS)
    for (let n = 0; n < 9; n++) t.equal(await limiter.take('a', 1), 0)
    t.equal(await limiter.take('a', 1_000), 0)
    t.equal(await limiter.take('a', 1), 100 * HOUR_MS)
    await advance(100 * HOUR_MS)
    t.equal(await limiter.take('a', 1_000), 0)
  })

  t.test('of batches that come at the same time under a limit for one, one passes', async t => {
    const { limiter } = await create(t, 2, 1_000)
    t.same(await Promise.all([limiter.take('a', 1), limiter.take('a', 1), limiter.take('a', 1)]), [0, 0, 500])
    t.equal(await limiter.takeRest('a', 999), 0)
    t.equal(await limiter.takeRest('a', 999), 499_500, 'the other one finds the debt of the first')
  })

  t.test('the rest of a request that was let through needs no room for its own first part', async t => {
    const { limiter } = await create(t, 10, HOUR_MS)
    t.equal(await limiter.take('a', 10), 0)
    t.equal(await limiter.take('a', 1), HOUR_MS / 10)
    t.equal(await limiter.takeRest('a', 990), 0)
    t.equal(await limiter.takeRest('a', 1), 99 * HOUR_MS, 'another one finds the debt of the first')
  })

  t.test('a refused request is not charged, however large it is and however often it comes', async t => {
    const { limiter, advance } = await create(t, 2, HOUR_MS)
    for (let n = 0; n < 3; n++) t.equal(await limiter.takeRest('a', 1), 0)
    for (let n = 0; n < 5; n++) t.equal(await limiter.take('a', 100), HOUR_MS)
    for (let n = 0; n < 5; n++) t.equal(await limiter.takeRest('a', 100), HOUR_MS / 2)
    await advance(HOUR_MS)
    t.equal(await limiter.take('a', 1), 0)
    t.equal(await limiter.take('a', 1), HOUR_MS / 2)
  })

  t.test('to look charges nothing', async t => {
    const { limiter, advance } = await create(t, 2, HOUR_MS)
    for (let n = 0; n < 5; n++) t.equal(await limiter.take('a', 0), 0)
    for (let n = 0; n < 2; n++) {
      t.equal(await limiter.take('a', 1), 0)
      if (n === 0) for (let look = 0; look < 5; look++) t.equal(await limiter.take('a', 0), 0)
    }
    for (let n = 0; n < 5; n++) t.equal(await limiter.take('a', 0), HOUR_MS / 2, 'it shows that there is no room')
    await advance(HOUR_MS / 2)
    t.equal(await limiter.take('a', 1), 0)
  })

  t.test('what has happened already is charged, whatever the debt', async t => {
    const { limiter, advance } = await create(t, 60, 60_000)
    t.equal(await limiter.take('a', 0), 0, 'to look charges nothing')
    limiter.charge('a', 1_000)
    limiter.charge('a', 1_000)
    t.equal(await limiter.take('a', 0), 1_941_000)
    await advance(1_941_000)
    t.equal(await limiter.take('a', 0), 0)
    t.equal(await limiter.take('a', 0), 0)
  })

  t.test('each has a bucket of its own, whatever the name', async t => {
    const { limiter } = await create(t, 1, 1_000)
    t.equal(await limiter.take('a', 1_000), 0)
    for (const who of ['b', '', 'A', 'a ', 'a:b', 'a\n', '*', '__proto__', '🦊', 'user:a']) {
      t.equal(await limiter.take(who, 1), 0, who)
    }
    t.equal(await limiter.take('a', 1), 1_000_000)
  })

  t.test('however requests come, nobody gets more than a window, what drains meanwhile, and one request', async t => {
    const step = fc.record({ passes: fc.nat(700), events: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 50 })) })
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20 }), fc.array(step, { maxLength: 60 }), async (limit, steps) => {
        const { limiter, clock, advance } = await create(t, limit, 1_000)
        const passed: { at: number; events: number }[] = []
        for (const { passes, events } of steps) {
          await advance(passes)
          if ((await limiter.take('a', events)) === 0) passed.push({ at: clock.now, events })
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
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20_000 }), fc.array(step, { maxLength: 30 }), async (limit, steps) => {
        const { limiter, advance } = await create(t, limit, 1_000)
        for (const { events } of steps) {
          const waitMs = await limiter.take('a', events)
          if (waitMs === 0) continue
          await advance(waitMs)
          if ((await limiter.take('a', events)) !== 0) return false
        }
        return true
      }),
    )
    t.pass('for all')
  })
}
