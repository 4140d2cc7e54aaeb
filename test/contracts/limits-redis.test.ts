import t, { type Test } from 'tap'
import { Limiter } from '../../src/limits/limiter.js'
import { redisBuckets } from '../../src/limits/redis.js'
import { RedisLink } from '../../src/redis/link.js'
import { RedisNames } from '../../src/redis/names.js'
import { waitFor } from '../helpers/deadline.js'
import { freePort } from '../helpers/ports.js'
import { startRedis } from '../helpers/redis.js'
import { testLimits, wait } from './limits.js'

const HOUR_MS = 3_600_000

const redis = await startRedis(t)
let prefixes = 0
const freshPrefix = () => `test${++prefixes}:`

/** A limiter of one replica, on a link of its own. */
async function replica(t: Test, limit: number, prefix = freshPrefix(), url = redis.url): Promise<Limiter> {
  const link = new RedisLink({ url })
  t.teardown(() => link.close())
  link.connect({ subscriber: false })
  if (url === redis.url) await link.whenReady(10_000)
  const shared = redisBuckets(link, new RedisNames(prefix, 0), 'publish')
  return new Limiter({ limit, windowMs: HOUR_MS, shared, now: () => 1_000_000 })
}

const keyOf = (prefix: string, who: string) => `${prefix}{0}:limit:publish:${who}`

testLimits(t, replica)

t.test('replicas add up: together they let through the limit, and what one has on its way', async t => {
  const prefix = freshPrefix()
  const [a, b] = [await replica(t, 4, prefix), await replica(t, 4, prefix)]
  let passed = 0
  for (const each of [a, b, a, b, a, b, a, b]) if ((await each.take('a', 1)) === 0) passed++
  t.ok(passed >= 4 && passed <= 6, `${passed} of 8`)
  t.ok((await a.take('a', 1)) > 0)
  t.ok((await b.take('a', 1)) > 0)
})

t.test('a replica that comes later is told what the others let through', async t => {
  const prefix = freshPrefix()
  const early = await replica(t, 10, prefix)
  t.equal(await early.take('a', 1_000), 0)
  await waitFor(async () => Number(await redis.command('PTTL', keyOf(prefix, 'a'))) > 0, 5_000, 'Redis to be told')
  const late = await replica(t, 10, prefix)
  let waitMs = 0
  // Far from its limit it does not ask, and is told with what it tells.
  for (let n = 0; n < 7 && waitMs === 0; n++) waitMs = await late.take('a', 1)
  t.ok(waitMs > 98 * HOUR_MS, `${waitMs}`)
})

t.test('without Redis each replica keeps the limit by itself', async t => {
  const limiter = await replica(t, 4, freshPrefix(), `redis://127.0.0.1:${await freePort()}`)
  for (let n = 0; n < 4; n++) t.equal(await limiter.take('a', 1), 0)
  wait(t, await limiter.take('a', 1), HOUR_MS / 4)
})

t.test('a Redis that forgot makes no replica forget', async t => {
  const prefix = freshPrefix()
  const limiter = await replica(t, 2, prefix)
  for (let n = 0; n < 2; n++) t.equal(await limiter.take('a', 1), 0)
  await waitFor(async () => (await redis.command('EXISTS', keyOf(prefix, 'a'))) === 1, 5_000, 'Redis to be told')
  await redis.command('DEL', keyOf(prefix, 'a'))
  wait(t, await limiter.take('a', 1), HOUR_MS / 2)
})

t.test('a bucket in Redis ends when it is empty', async t => {
  const prefix = freshPrefix()
  const limiter = await replica(t, 1, prefix)
  t.equal(await limiter.take('a', 1), 0)
  await waitFor(async () => (await redis.command('EXISTS', keyOf(prefix, 'a'))) === 1, 5_000, 'Redis to be told')
  const leftMs = Number(await redis.command('PTTL', keyOf(prefix, 'a')))
  t.ok(leftMs > 0 && leftMs <= HOUR_MS, `${leftMs} ms`)
})
