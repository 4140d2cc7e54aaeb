import t, { type Test } from 'tap'
import { post } from '../helpers/app.js'
import { draft, listenTo, payloads, publishOne, readAll } from '../helpers/bus.js'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { type RedisServer, startRedis } from '../helpers/redis.js'
import { createRedisBus } from '../helpers/redis-bus.js'
import { openStream } from '../helpers/sse.js'

// When a Redis loses data, on purpose or not, a resume must report a loss. It must never be called whole, and old events must not mix
// with new ones.

async function startBus(t: Test, redis: RedisServer) {
  const { bus } = createRedisBus(redis.url)
  const heard = await listenTo(t, bus, ['room', 'other'])
  return { bus, heard, start: bus.position! }
}

const keyOf = async (redis: RedisServer, pattern: string): Promise<string> => {
  const keys = await redis.command('KEYS', pattern)
  if (!Array.isArray(keys) || typeof keys[0] !== 'string') throw new Error(`no key ${pattern}`)
  return keys[0]
}

t.test('FLUSHALL on a quiet bus is a gap for everybody, and a new epoch', async t => {
  const redis = await startRedis(t)
  const { bus, heard, start } = await startBus(t, redis)
  const before = await publishOne(bus, draft('room', 1))
  await redis.command('FLUSHALL')
  await waitFor(() => heard.gaps.length > 0, 10_000, 'the gap')
  t.same(heard.gaps, [{ rooms: null, reason: 'reset' }])
  t.not(bus.position!.epoch, start.epoch)
  for (const after of [start, before, { epoch: start.epoch, seq: 99 }]) {
    t.same((await readAll(bus, after, ['room', 'never'])).lost.sort(), ['never', 'room'])
  }
})

t.test(
  'what is published after FLUSHALL arrives behind the gap or is lost with it, under positions of the new epoch',
  async t => {
    const redis = await startRedis(t)
    const { bus, heard, start } = await startBus(t, redis)
    for (let n = 0; n < 20; n++) await publishOne(bus, draft('room', `old ${n}`))
    const { length } = heard.events
    await redis.command('FLUSHALL')
    const answers = await Promise.all([0, 1, 2].map(n => bus.publish([draft('room', n)])))
    await waitFor(() => heard.gaps.length > 0, 10_000, 'the gap')
    await publishOne(bus, draft('room', 3))
    t.same(heard.gaps, [{ rooms: null, reason: 'reset' }])
    t.notOk(answers.flat().some(({ id }) => id.startsWith(`${start.epoch}-`)))
    const later = payloads(heard.events.slice(length))
    t.same(later, [0, 1, 2, 3].slice(-later.length), 'in order, and the last ones')
  },
)

t.test('a Redis that was restarted empty is a new epoch: no old position resumes as whole', async t => {
  const redis = await startRedis(t)
  const gateway = await startGateway(t, { SSE_ADAPTER: 'redis', REDIS_URL: redis.url }, { until: 'ready' })
  const url = `${gateway.url}/v1/stream?user=42`
  const stream = await openStream(t, url)
  await stream.next('stream.open')
  for (let n = 1; n <= 5; n++) await post(`${gateway.url}/v1/users/42/events`, `{"type":"old","data":${n}}`)
  await stream.waitFor(({ events }) => events.at(-1)?.data === '5')
  const { lastEventId } = stream
  await redis.restart()
  t.same(JSON.parse((await stream.next('stream.gap', 15_000)).data), { rooms: ['user:42', '*'], reason: 'reset' })
  await waitFor(
    async () => (await post(`${gateway.url}/v1/users/42/events`, '{"type":"new","data":1}')).status === 202,
    10_000,
    'a publish',
  )
  const fresh = await stream.next('new')
  t.not(fresh.id.split('-')[0], lastEventId.split('-')[0], 'positions of another epoch')
  for (const old of [lastEventId, stream.events[1]!.id, lastEventId.replace(/\d+$/, '1')]) {
    const resumed = await openStream(t, url, { lastEventId: old })
    t.equal(JSON.parse((await resumed.next('stream.open')).data).resumed, false)
  }
  const whole = await openStream(t, url, { lastEventId: fresh.id })
  t.equal(JSON.parse((await whole.next('stream.open')).data).resumed, true)
})

t.test('a history that Redis evicted reads as loss, on a replica that has nothing in memory', async t => {
  const redis = await startRedis(t)
  const { bus, start } = await startBus(t, redis)
  const first = await publishOne(bus, draft('room', 1))
  const second = await publishOne(bus, draft('room', 2))
  await publishOne(bus, draft('other', 3))
  await redis.command('DEL', await keyOf(redis, '*:h:room'))
  const { bus: fresh } = await startBus(t, redis)
  for (const after of [start, first]) {
    const { events, lost } = await readAll(fresh, after, ['room', 'other', 'never'])
    t.same([payloads(events), lost], [[3], ['room']])
  }
  t.same((await readAll(fresh, second, ['room'])).lost, [], 'nothing was missed behind its last event')
  await publishOne(bus, draft('room', 4))
  const { bus: later } = await startBus(t, redis)
  t.same((await readAll(later, first, ['room'])).lost, ['room'], 'a newer event does not hide the hole')
  t.same(payloads((await readAll(later, second, ['room'])).events), [4])
})

t.test('the set of rooms that Redis evicted reads as loss of every room', async t => {
  const redis = await startRedis(t)
  const { bus, start } = await startBus(t, redis)
  const first = await publishOne(bus, draft('room', 1))
  const last = await publishOne(bus, draft('room', 2))
  await redis.command('DEL', await keyOf(redis, '*:rooms'))
  const { bus: fresh } = await startBus(t, redis)
  for (const after of [start, first]) {
    t.same((await readAll(fresh, after, ['room', 'never'])).lost.sort(), ['never', 'room'])
  }
  t.same((await readAll(fresh, last, ['room', 'never'])).lost, [])
  const next = await publishOne(bus, draft('room', 3))
  const { bus: later } = await startBus(t, redis)
  t.same(
    (await readAll(later, first, ['room', 'never'])).lost,
    ['never'].concat((await readAll(later, first, ['room'])).lost),
  )
  t.same((await readAll(later, next, ['room', 'never'])).lost, [])
})

t.test('a counter that Redis evicted is a new epoch', async t => {
  const redis = await startRedis(t)
  const { bus, heard, start } = await startBus(t, redis)
  await publishOne(bus, draft('room', 1))
  await redis.command('DEL', await keyOf(redis, '*:state'))
  const answer = await bus.publish([draft('room', 2)])
  t.notOk(answer[0]!.id.startsWith(`${start.epoch}-`))
  await waitFor(() => heard.gaps.length > 0, 10_000, 'the gap')
  await publishOne(bus, draft('room', 3))
  t.equal(payloads(heard.events).at(-1), 3)
  t.same(heard.gaps, [{ rooms: null, reason: 'reset' }])
})

t.test('data that was set back under the same epoch is noticed by who saw more', async t => {
  const redis = await startRedis(t)
  const { bus, heard, start } = await startBus(t, redis)
  for (let n = 0; n < 5; n++) await publishOne(bus, draft('room', n))
  const keys = (await redis.command('KEYS', '*')) as string[]
  for (const key of keys) await redis.command('COPY', key, `saved:${key}`)
  for (let n = 5; n < 10; n++) await publishOne(bus, draft('room', n))
  for (const key of keys) await redis.command('COPY', `saved:${key}`, key, 'REPLACE')
  await waitFor(() => heard.gaps.length > 0, 10_000, 'the gap')
  t.same(heard.gaps, [{ rooms: null, reason: 'reset' }])
  const again = await publishOne(bus, draft('room', 'again'))
  t.not(again.epoch, start.epoch, 'no position is given twice')
  await waitFor(() => heard.events.at(-1)?.data === '"again"', 10_000, 'the event')
})

t.test('a position of another bus or another database never resumes as whole', async t => {
  const redis = await startRedis(t)
  const one = await startBus(t, redis)
  const { bus: two } = createRedisBus(`${redis.url}/3`)
  await listenTo(t, two)
  const position = await publishOne(one.bus, draft('room', 1))
  for (let n = 0; n < 3; n++) await two.publish([draft('room', n)])
  t.same((await readAll(two, position, ['room', 'never'])).lost.sort(), ['never', 'room'])
})
