import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { SharedBuckets } from '../../src/limits/exchange.js'
import { Limiter } from '../../src/limits/limiter.js'
import { redisBuckets } from '../../src/limits/redis.js'
import { RedisLink } from '../../src/redis/link.js'
import { RedisNames } from '../../src/redis/names.js'
import { startLink } from '../chaos/proxy.js'
import { waitFor, withDeadline } from '../helpers/deadline.js'
import { freePort } from '../helpers/ports.js'
import { startRedis } from '../helpers/redis.js'
import type { Owner } from '../helpers/scope.js'
import { testLimits } from './limits.js'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const PATIENCE_MS = 15_000

const redis = await startRedis(t)
let prefixes = 0

function createLink(owner: Owner, port: number): RedisLink {
  const link = new RedisLink({ url: `redis://127.0.0.1:${port}` })
  owner.teardown(() => link.close())
  link.connect({ subscriber: false })
  return link
}

async function connect(owner: Owner, port: number): Promise<RedisLink> {
  const link = createLink(owner, port)
  await link.whenReady(PATIENCE_MS)
  return link
}

/** A link that waits longer for Redis than a replica does: a slow machine must not make replicas decide alone. */
async function connectPatiently(owner: Owner, port = redis.port): Promise<RedisLink> {
  const link = await connect(owner, port)
  const run = link.run.bind(link)
  link.run = (script, keys, args) => run(script, keys, args, performance.now() + PATIENCE_MS)
  return link
}

// The time of Redis cannot be moved, so that everything that depends on it is: when each bucket will be empty.
const ADVANCE = `
  local time = redis.call('TIME')
  for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
    local empty_at = tonumber(redis.call('GET', key)) - ARGV[2]
    local debt = math.ceil(empty_at - time[1] * 1000 - time[2] / 1000)
    if debt > 0 then
      redis.call('SET', key, string.format('%.3f', empty_at), 'PX', debt)
    else
      redis.call('DEL', key)
    end
  end`

/**
 * A limit that replicas share, each on a link of its own. Their clock stands still until it is moved, and Redis is moved with it.
 * Between moves the time of Redis goes on: windows of an hour make that too little to count.
 */
function shareLimit(links: readonly RedisLink[], limit: number, windowMs = HOUR_MS) {
  const prefix = `test${++prefixes}:`
  const names = new RedisNames(prefix, 0)
  const clock = { now: 1_000_000 }
  const underWay = new Set<Promise<unknown>>()
  const limiters = links.map(link => {
    const buckets = redisBuckets(link, names, 'publish')
    const shared: SharedBuckets = {
      add: charges => {
        const added = buckets.add(charges)
        underWay.add(added)
        return added.finally(() => underWay.delete(added))
      },
    }
    return new Limiter({ limit, windowMs, shared, now: () => clock.now })
  })
  /** Resolves when no exchange is under way or scheduled. */
  const told = async () => {
    do {
      await Promise.allSettled(underWay)
      // An exchange begins at the end of a turn, and the next one a turn after its end.
      await turn()
      await turn()
    } while (underWay.size > 0)
  }
  const advance = async (ms: number) => {
    await told()
    clock.now += ms
    await redis.command('EVAL', ADVANCE, '0', `${prefix}*`, `${ms}`)
  }
  const keyOf = (who: string) => `${prefix}{0}:limit:publish:${who}`
  return { limiters, names, clock, told, advance, keyOf }
}

/** How many of `count` events pass, one after the other. */
async function passed(limiter: Limiter, count: number): Promise<number> {
  let passed = 0
  for (let n = 0; n < count; n++) if ((await limiter.take('a', 1)) === 0) passed++
  return passed
}

const only = await connectPatiently(t)

testLimits(t, (_, limit, windowMs) => {
  const { limiters, clock, advance } = shareLimit([only], limit, windowMs)
  return { limiter: limiters[0]!, clock, advance }
})

t.test('replicas add up: together they let through the limit, and what one has on its way', async t => {
  const { limiters } = shareLimit([only, await connectPatiently(t)], 4)
  const [a, b] = [limiters[0]!, limiters[1]!]
  let passed = 0
  for (const each of [a, b, a, b, a, b, a, b]) if ((await each.take('a', 1)) === 0) passed++
  t.ok(passed >= 4 && passed <= 6, `${passed} of 8`)
  t.ok((await a.take('a', 1)) > 0)
  t.ok((await b.take('a', 1)) > 0)
})

t.test(
  'what two replicas let through one after the other is the limit, and either of them says how long to wait',
  async t => {
    const { limiters, told } = shareLimit([only, await connectPatiently(t)], 16)
    const [a, b] = [limiters[0]!, limiters[1]!]
    t.equal(await passed(a, 8), 8)
    await told()
    t.equal(await passed(b, 20), 8)
    await told()
    t.equal(await passed(a, 20), 0)
    for (const each of [a, b]) {
      const waitMs = await each.take('a', 1)
      t.ok(waitMs <= HOUR_MS / 16 && waitMs > HOUR_MS / 16 - MINUTE_MS, `${waitMs} ms`)
    }
  },
)

t.test('of many requests that come at once on two replicas, no more than half a window too many pass', async t => {
  const { limiters, told } = shareLimit([only, await connectPatiently(t)], 16)
  const waits = await Promise.all(limiters.flatMap(each => Array.from({ length: 100 }, () => each.take('a', 1))))
  const passed = waits.filter(waitMs => waitMs === 0).length
  // Each decides alone about the half of a window, and asks about the rest.
  t.ok(passed >= 16 && passed <= 16 + 8, `${passed} of 200`)
  await told()
  for (const each of limiters) t.ok((await each.take('a', 1)) > 0, 'both know')
})

t.test('replicas together let through one window, and a sixteenth of one more each at most', async t => {
  const links = [only, await connectPatiently(t), await connectPatiently(t), await connectPatiently(t)]
  const { limiters, told, advance } = shareLimit(links, 160)
  const send = async (each: Limiter) => ((await each.take('a', 1)) === 0 ? 1 : 0)
  let passed = 0
  for (let n = 0; n < 200; n++) {
    for (const each of limiters) passed += await send(each)
    await told()
  }
  t.ok(passed >= 160 && passed <= 160 + 4 * 10, `${passed} of 800`)
  await advance(HOUR_MS / 2)
  let later = 0
  for (let n = 0; n < 200; n++) {
    for (const each of limiters) later += await send(each)
    await told()
  }
  t.ok(later > 0 && later <= 80 + 4 * 10, `${later} after half a window`)
})

t.test('of two that want the last place on two replicas, one gets it, and the other may come back', async t => {
  const { limiters, told, advance } = shareLimit([only, await connectPatiently(t)], 1)
  const [a, b] = [limiters[0]!, limiters[1]!]
  const waits = await Promise.all([a.take('x', 1), b.take('x', 1)])
  // In minutes, because the time of Redis goes on.
  t.same(waits.map(waitMs => Math.round(waitMs / MINUTE_MS)).sort(), [0, 60])
  const loser = waits[0] === 0 ? b : a
  await told()
  await advance(HOUR_MS)
  t.equal(await loser.take('x', 1), 0, 'what was refused was not charged')
})

t.test('a replica that comes later is told what the others let through', async t => {
  const { limiters, keyOf } = shareLimit([only, await connectPatiently(t)], 10)
  const [early, late] = [limiters[0]!, limiters[1]!]
  t.equal(await early.take('a', 1_000), 0)
  await waitFor(async () => Number(await redis.command('PTTL', keyOf('a'))) > 0, 5_000, 'Redis to be told')
  let waitMs = 0
  // Far from its limit it does not ask, and is told with what it tells.
  for (let n = 0; n < 7 && waitMs === 0; n++) waitMs = await late.take('a', 1)
  t.ok(waitMs > 98 * HOUR_MS, `${waitMs}`)
})

t.test('events that happened on one replica count on the others', async t => {
  const { limiters, told } = shareLimit([only, await connectPatiently(t)], 4)
  const [a, b] = [limiters[0]!, limiters[1]!]
  a.charge('a', 1_000)
  await told()
  b.charge('a', 1)
  await told()
  t.ok((await b.take('a', 0)) > 249 * HOUR_MS)
})

t.test('publishers of two replicas, and two limits, do not touch each other', async t => {
  const other = await connectPatiently(t)
  const { limiters, names, clock, told } = shareLimit([only, other], 4)
  const [a, b] = [limiters[0]!, limiters[1]!]
  t.equal(await a.take('a', 1_000), 0)
  await told()
  t.equal(await passed(b, 1), 1)
  for (let n = 0; n < 4; n++) t.equal(await b.take('b', 1), 0)
  const shared = redisBuckets(other, names, 'connect')
  const connects = new Limiter({ limit: 4, windowMs: HOUR_MS, shared, now: () => clock.now })
  t.equal(await passed(connects, 5), 4)
})

t.test('more publishers at once than one exchange takes are each told of their own debt', async t => {
  const { limiters, told } = shareLimit([only, await connectPatiently(t)], 4)
  const [a, b] = [limiters[0]!, limiters[1]!]
  const who = Array.from({ length: 1_100 }, (_, n) => `publisher ${n}`)
  // Each owes a window more than the one before it.
  for (const [n, each] of who.entries()) a.charge(each, 4 * (n + 1))
  await told()
  // Three of four ask.
  const first = await Promise.all(who.map(each => b.take(each, 3)))
  t.same(
    first.map(waitMs => Math.round(waitMs / MINUTE_MS)),
    who.map((_, n) => 60 * n + 15),
  )
})

t.test('events that drained before others heard of them hold a publisher back by a sixteenth at most', async t => {
  const { limiters, advance } = shareLimit([only], 160)
  const limiter = limiters[0]!
  for (let n = 0; n < 9; n++) t.equal(await limiter.take('a', 1), 0)
  await advance(HOUR_MS / 2)
  const count = await passed(limiter, 170)
  t.ok(count >= 150 && count <= 160, `${count}`)
})

t.test('without Redis each replica keeps the limit by itself', async t => {
  const { limiters } = shareLimit([createLink(t, await freePort())], 4)
  const limiter = limiters[0]!
  for (let n = 0; n < 4; n++) t.equal(await limiter.take('a', 1), 0)
  t.equal(await limiter.take('a', 1), HOUR_MS / 4)
})

t.test(
  'while Redis is away each replica goes on by itself, and what it let through counts when Redis is back',
  async t => {
    const proxy = await startLink(t, redis.port)
    const links = [await connectPatiently(t, proxy.port), await connectPatiently(t, proxy.port)]
    const { limiters, advance } = shareLimit(links, 8)
    const [a, b] = [limiters[0]!, limiters[1]!]
    proxy.set('cut')
    t.equal(await passed(a, 20), 8, 'never less than a whole window, and never more')
    await waitFor(() => !links.some(link => link.isReady), 15_000, 'both to notice')
    proxy.set('open')
    await waitFor(() => links.every(link => link.isReady), 15_000, 'Redis to be back')
    await advance(HOUR_MS / 4)
    t.equal(await a.take('a', 1), 0)
    const others = await passed(b, 20)
    t.ok(others <= 5, `${others}: the other one hears what is still owed`)
  },
)

t.test('a Redis that does not answer is waited for 300 ms, and then each replica decides alone', async t => {
  const proxy = await startLink(t, redis.port)
  const links = [await connect(t, proxy.port), await connect(t, proxy.port)]
  const patience: number[] = []
  for (const link of links) {
    const run = link.run.bind(link)
    link.run = async (script, keys, args, deadline) => {
      patience.push(deadline! - performance.now())
      return run(script, keys, args, deadline)
    }
  }
  const { limiters } = shareLimit(links, 4)
  proxy.set('frozen')
  for (const each of limiters) {
    t.equal(await withDeadline(Promise.resolve(each.take('a', 4)), PATIENCE_MS, 'an answer without Redis'), 0)
    t.equal(await each.take('a', 1), HOUR_MS / 4)
  }
  t.equal(patience.length, 2)
  t.ok(
    patience.every(ms => ms <= 300),
    `${patience}`,
  )
})

t.test('a Redis that forgot makes no replica forget', async t => {
  const { limiters, told, keyOf } = shareLimit([only], 4)
  const limiter = limiters[0]!
  t.equal(await passed(limiter, 3), 3)
  await told()
  t.equal(await redis.command('DEL', keyOf('a')), 1)
  // This one asks: three of four are taken.
  t.equal(await limiter.take('a', 1), 0)
  t.equal(await limiter.take('a', 1), HOUR_MS / 4)
})

t.test('a bucket in Redis ends when it is empty', async t => {
  const { limiters, keyOf } = shareLimit([only], 1)
  const limiter = limiters[0]!
  t.equal(await limiter.take('a', 1), 0)
  await waitFor(async () => (await redis.command('EXISTS', keyOf('a'))) === 1, 5_000, 'Redis to be told')
  const leftMs = Number(await redis.command('PTTL', keyOf('a')))
  t.ok(leftMs > HOUR_MS - MINUTE_MS && leftMs <= HOUR_MS, `${leftMs} ms`)
  const short = shareLimit([only], 1, 100)
  t.equal(await short.limiters[0]!.take('a', 1), 0)
  await waitFor(async () => (await redis.command('EXISTS', short.keyOf('a'))) === 0, 5_000, 'the bucket to be gone')
})

t.test('what a batch owes is kept for as long as it is owed, and what is given back leaves no bucket', async t => {
  const { limiters, names, told, keyOf } = shareLimit([only], 10)
  t.equal(await limiters[0]!.take('a', 1_000), 0)
  await told()
  const leftMs = Number(await redis.command('PTTL', keyOf('a')))
  t.ok(leftMs > 100 * HOUR_MS - MINUTE_MS && leftMs <= 100 * HOUR_MS, `${leftMs} ms`)
  const buckets = redisBuckets(only, names, 'publish')
  t.same(await buckets.add([{ who: 'b', costMs: HOUR_MS }]), [HOUR_MS])
  t.same(await buckets.add([{ who: 'b', costMs: -HOUR_MS }]), [0])
  t.equal(await redis.command('EXISTS', keyOf('b')), 0)
})
