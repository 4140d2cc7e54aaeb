import type { Test } from 'tap'
import type { Limiter } from '../../src/limits/limiter.js'

/** Makes a limiter of `limit` events an hour that nobody used before. Its clock stands still. */
export type CreateLimiter = (t: Test, limit: number) => Limiter | Promise<Limiter>

const HOUR_MS = 3_600_000
// Where a server keeps the time, it goes on meanwhile.
const PASSED_MS = 60_000

/** Ms to wait, as they were when the clock stood still. */
export function wait(t: Test, actual: number, expected: number, what?: string): void {
  t.ok(actual <= expected && actual > expected - PASSED_MS, `${what ?? 'to wait'}: ${actual}, and not ${expected}`)
}

/** What every limit must do, whoever keeps its buckets. */
export function testLimits(t: Test, create: CreateLimiter): void {
  t.test('as many as the limit pass at once, and the next one is told how long to wait', async t => {
    const limiter = await create(t, 4)
    for (let n = 0; n < 4; n++) t.equal(await limiter.take('a', 1), 0)
    wait(t, await limiter.take('a', 1), HOUR_MS / 4)
  })

  t.test('a batch beyond the limit passes once, and later requests wait for its debt', async t => {
    const limiter = await create(t, 10)
    t.equal(await limiter.take('a', 1_000), 0)
    wait(t, await limiter.take('a', 1), 99.1 * HOUR_MS, '1,000 events at 10 an hour, but for the 9 that may stand')
  })

  t.test('the rest of a request that was let through needs no room for its own first part', async t => {
    const limiter = await create(t, 10)
    t.equal(await limiter.take('a', 1), 0)
    t.equal(await limiter.takeRest('a', 999), 0)
    wait(t, await limiter.takeRest('a', 1), 99 * HOUR_MS, 'another one finds the debt of the first')
  })

  t.test('a refused request is not charged', async t => {
    const limiter = await create(t, 2)
    for (let n = 0; n < 2; n++) t.equal(await limiter.take('a', 1), 0)
    for (let n = 0; n < 5; n++) wait(t, await limiter.take('a', 100), HOUR_MS / 2)
  })

  t.test('to look charges nothing', async t => {
    const limiter = await create(t, 2)
    for (let n = 0; n < 5; n++) t.equal(await limiter.take('a', 0), 0)
    for (let n = 0; n < 2; n++) t.equal(await limiter.take('a', 1), 0)
    wait(t, await limiter.take('a', 0), HOUR_MS / 2, 'to look shows that there is no room')
  })

  t.test('events that have happened already are charged, whatever the debt', async t => {
    const limiter = await create(t, 2)
    limiter.charge('a', 1_000)
    limiter.charge('a', 1_000)
    wait(t, await limiter.take('a', 1), 999.5 * HOUR_MS)
  })

  t.test('each publisher has a bucket of its own', async t => {
    const limiter = await create(t, 1)
    t.equal(await limiter.take('a', 1_000), 0)
    t.equal(await limiter.take('b', 1), 0)
    wait(t, await limiter.take('a', 1), 1_000 * HOUR_MS)
  })
}
