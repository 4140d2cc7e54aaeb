import t, { type Test } from 'tap'
import { createEmitter } from '../../src/emitter.js'
import { type Link, startLink } from '../chaos/proxy.js'
import { post } from '../helpers/app.js'
import { draft, listenTo, payloads, publishOne } from '../helpers/bus.js'
import { waitFor } from '../helpers/deadline.js'
import { startFilter } from '../helpers/filter.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { type RedisServer, startRedis } from '../helpers/redis.js'
import { createRedisBus } from '../helpers/redis-bus.js'
import { openStream } from '../helpers/sse.js'

interface Setup {
  redis: RedisServer
  link: Link
  /** The gateway that reaches Redis through the link. */
  far: Gateway
}

async function start(t: Test): Promise<Setup> {
  const redis = await startRedis(t, { appendonly: true })
  const link = await startLink(t, redis.port)
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: `redis://127.0.0.1:${link.port}`, HEARTBEAT_MS: '1000' }
  return { redis, link, far: await startGateway(t, env, { until: 'ready' }) }
}

const readiness = async (gateway: Gateway) => {
  const response = await fetch(`${gateway.url}/readyz`)
  return { code: response.status, ...((await response.json()) as { status: string; reason: string | null }) }
}
const degraded = (gateway: Gateway) =>
  waitFor(async () => (await readiness(gateway)).status === 'degraded', 10_000, 'the gateway to miss Redis')
const publish = (gateway: Gateway, data: number) =>
  post(`${gateway.url}/v1/users/42/events`, `{"type":"tick","data":${data},"key":"${data}"}`)
const untilPublished = (gateway: Gateway, data: number) =>
  waitFor(async () => (await publish(gateway, data)).status === 202, 15_000, `event ${data} to be taken`)

t.test('while Redis is away publishes answer 503 at once, streams stay, and what comes after is delivered', async t => {
  const { link, far } = await start(t)
  const stream = await openStream(t, `${far.url}/v1/stream?user=42`)
  await untilPublished(far, 1)
  await stream.next('tick')
  link.set('cut')
  await degraded(far)
  const startedAt = performance.now()
  const { status, headers, body } = await publish(far, 2)
  t.match(
    { status, body },
    { status: 503, body: { code: 'TIDINGS_BUS_UNAVAILABLE', message: /nothing was published, try again/ } },
  )
  t.equal(headers.get('retry-after'), '1')
  t.ok(performance.now() - startedAt < 2_000)
  t.match(await readiness(far), { code: 200, status: 'degraded', reason: 'not connected to Redis' })
  t.equal((await fetch(`${far.url}/livez`)).status, 200)
  const { length } = stream.blocks
  await stream.waitFor(({ blocks }) => blocks.length >= length + 2, 10_000, 'heartbeats')
  link.set('open')
  await untilPublished(far, 3)
  t.equal((await stream.next('tick', 10_000)).data, '3', 'what was refused was not published')
  t.notOk(
    stream.events.some(event => event.type === 'stream.gap'),
    'nothing was lost, and nothing is said to be',
  )
})

t.test(
  'a frozen Redis: publishes say that their fate is unknown within 2 s, and repeating the key is safe',
  async t => {
    const { redis, far } = await start(t)
    const stream = await openStream(t, `${far.url}/v1/stream?user=42`)
    await stream.next('stream.open')
    redis.freeze()
    const startedAt = performance.now()
    const answers = await Promise.all([1, 2, 3].map(data => publish(far, data)))
    const tookMs = performance.now() - startedAt
    for (const { status, headers, body } of answers) {
      t.match(
        { status, body },
        { status: 503, body: { code: 'TIDINGS_BUS_UNCERTAIN', message: /repeat with the same key/ } },
      )
      t.equal(headers.get('retry-after'), '1')
    }
    t.ok(tookMs < 2_000, `${tookMs} ms`)
    await degraded(far)
    redis.thaw()
    for (const data of [1, 2, 3, 4]) await untilPublished(far, data)
    await stream.waitFor(({ events }) => events.at(-1)?.data === '4', 15_000, 'the last event')
    const ticks = stream.events.filter(event => event.type === 'tick').map(event => event.data)
    t.same(ticks, [...new Set(ticks)], 'none twice')
    t.same(ticks.toSorted(), ['1', '2', '3', '4'])
  },
)

t.test('a slow Redis that was emptied: however often a script must be sent, the answer comes within 2 s', async t => {
  const { redis, link, far } = await start(t)
  const stream = await openStream(t, `${far.url}/v1/stream?user=42`)
  await untilPublished(far, 1)
  await stream.next('tick')
  // A round trip takes 1.2 s. The script is gone and the life that it names too, so a publish would need three of them.
  link.delay(600)
  await redis.command('FLUSHALL')
  await redis.command('SCRIPT', 'FLUSH')
  const startedAt = performance.now()
  const { status, body } = await publish(far, 2)
  const tookMs = performance.now() - startedAt
  t.match(
    { status, body },
    { status: 503, body: { code: 'TIDINGS_BUS_UNCERTAIN', message: /repeat with the same key/ } },
  )
  t.ok(tookMs < 2_000, `${tookMs} ms`)
  link.delay(0)
  for (const data of [2, 3]) await untilPublished(far, data)
  await stream.waitFor(({ events }) => events.at(-1)?.data === '3', 15_000, 'the last event')
  const ticks = stream.events.filter(event => event.type === 'tick').map(event => event.data)
  t.same(ticks, ['1', '2', '3'])
  t.equal(stream.events.filter(event => event.type === 'stream.gap').length, 1, 'what was emptied is told')
})

t.test('waiting for Redis replicas counts too: the answer comes within 2 s', async t => {
  const redis = await startRedis(t)
  const link = await startLink(t, redis.port)
  const { bus } = createRedisBus(`redis://127.0.0.1:${link.port}`, { waitReplicas: 1, waitMs: 1_000 })
  await listenTo(t, bus, ['room'])
  link.delay(400)
  const startedAt = performance.now()
  await t.rejects(bus.publish([draft('room', 1)]), { code: 'TIDINGS_BUS_UNCERTAIN' })
  const tookMs = performance.now() - startedAt
  // At most 0.8 s for the script, and 1.8 s in all until the wait for replicas gives up.
  t.ok(tookMs < 2_000, `${tookMs} ms`)
})

t.test('a new stream opens while Redis is away, and gets what it asked for when it is back', async t => {
  const { redis, link, far } = await start(t)
  const near = await startGateway(t, { SSE_ADAPTER: 'redis', REDIS_URL: redis.url }, { until: 'ready' })
  const before = await openStream(t, `${far.url}/v1/stream?user=42`)
  await before.next('stream.open')
  const { lastEventId } = before
  link.set('cut')
  await degraded(far)
  for (const data of [1, 2, 3]) await untilPublished(near, data)
  const seenByNear = await openStream(t, `${near.url}/v1/stream?user=42`, { lastEventId })
  await seenByNear.waitFor(({ events }) => events.at(-1)?.data === '3')
  const first = await openStream(t, `${far.url}/v1/stream?user=42`)
  t.match(JSON.parse((await first.next('stream.open')).data), { resumed: null })
  // This position is ahead of the replica's own, so only Redis can tell what follows.
  const ahead = await openStream(t, `${far.url}/v1/stream?user=42`, { lastEventId: seenByNear.events.at(-2)!.id })
  await ahead.waitFor(({ raw }) => raw.includes(':\n\n'), 5_000, 'a comment that keeps it alive')
  t.equal(ahead.events.length, 0, 'nothing is promised yet')
  link.set('open')
  await before.waitFor(({ events }) => events.at(-1)?.data === '3', 15_000, 'the events at the stream that stayed')
  await ahead.waitFor(({ events }) => events.at(-1)?.data === '3', 15_000, 'the events at the one that came')
  t.match(
    ahead.events.map(({ type, data }) => `${type} ${data}`),
    [/^stream\.open .*"resumed":true/, 'tick 3'],
  )
  for (const stream of [before, first]) {
    await stream.waitFor(({ events }) => events.at(-1)?.data === '3', 15_000, 'the events')
    t.same(
      stream.events.map(({ type, data }) => (type === 'tick' ? data : type)),
      ['stream.open', '1', '2', '3'],
    )
  }
})

t.test(
  'a gateway that starts without Redis says so, serves streams in waiting, and is ready when Redis comes',
  async t => {
    const redis = await startRedis(t)
    await redis.stop()
    const gateway = await startGateway(t, { SSE_ADAPTER: 'redis', REDIS_URL: redis.url, HEARTBEAT_MS: '1000' })
    t.match(await readiness(gateway), { code: 503, status: 'starting', reason: /Redis/ })
    t.equal((await fetch(`${gateway.url}/livez`)).status, 200)
    const stream = await openStream(t, `${gateway.url}/v1/stream?user=42`)
    const resuming = await openStream(t, `${gateway.url}/v1/stream?user=42`, { lastEventId: 'gone-7' })
    await redis.restart()
    t.match(JSON.parse((await stream.next('stream.open', 15_000)).data), { resumed: null })
    t.match(JSON.parse((await resuming.next('stream.open', 15_000)).data), { resumed: false })
    await untilPublished(gateway, 1)
    t.equal((await stream.next('tick')).data, '1')
    t.equal((await resuming.next('tick')).data, '1')
    t.match(await readiness(gateway), { code: 200, status: 'ok', reason: null })
  },
)

const FOLLOWED = ['room']

async function startBus(t: Test) {
  const redis = await startRedis(t)
  const link = await startLink(t, redis.port)
  const { bus } = createRedisBus(`redis://127.0.0.1:${link.port}`)
  const heard = await listenTo(t, bus, FOLLOWED)
  const { bus: other } = createRedisBus(redis.url)
  await listenTo(t, other)
  return { redis, link, bus, heard, other }
}

t.test('messages lost from the channel are read from history: in the middle, and the last one too', async t => {
  const { redis, bus, heard, other } = await startBus(t)
  await publishOne(other, draft('room', 1))
  await waitFor(() => heard.events.length === 1, 5_000, 'the first event')
  const position = bus.position!
  const keys = (await redis.command('KEYS', '*:state')) as string[]
  // Puts an event into history but not into the channel, as if Redis had dropped the message of publish.lua.
  const lose = async (data: number) => {
    const seq = Number(await redis.command('HINCRBY', keys[0]!, 'seq', '1'))
    const [rooms] = (await redis.command('KEYS', '*:rooms')) as string[]
    const [history] = (await redis.command('KEYS', '*:h:room')) as string[]
    await redis.command('ZADD', rooms!, `${seq}`, 'room')
    await redis.command('XADD', history!, `${seq}-0`, 'e', `${seq - 1}\n${Date.now()}\ntick\n${data}`)
  }
  await lose(2)
  await lose(3)
  await publishOne(other, draft('room', 4))
  await waitFor(() => heard.events.length === 4, 10_000, 'the events of the hole')
  await lose(5)
  await waitFor(() => heard.events.length === 5, 10_000, 'the lost last event, shown by the beacon')
  t.same(payloads(heard.events), [1, 2, 3, 4, 5])
  t.same(heard.gaps, [])
  t.equal(bus.position!.seq, position.seq + 4)
})

t.test('messages that are repeated, swapped, or no messages at all change nothing for readers', async t => {
  const { redis, heard, other } = await startBus(t)
  const first = await publishOne(other, draft('room', 1))
  const [channel] = (await redis.command('PUBSUB', 'CHANNELS', '*events')) as string[]
  const event = (seq: number, data: string) =>
    `E\n${first.epoch}\n${seq}\n1000\n1\nroom\ntick\n\n${Buffer.byteLength(data)}\n${data}`
  await publishOne(other, draft('room', 2))
  const garbage = [
    '',
    'E',
    'E\n',
    'B\n',
    'X\nfoo',
    `E\n${first.epoch}\n-1\n1\n1\n`,
    `B\n${first.epoch}\nx\n`,
    '{"json":true}',
    'E\n\n\n\n\n',
  ]
  for (const text of [event(first.seq, '1'), ...garbage]) await redis.command('PUBLISH', channel!, text)
  // A forged message with a future number, which history does not have.
  await redis.command('PUBLISH', channel!, event(first.seq + 3, '"forged"'))
  for (const n of [3, 4, 5]) await publishOne(other, draft('room', n))
  await waitFor(() => heard.events.length >= 5, 10_000, 'the events')
  t.same(payloads(heard.events), [1, 2, 3, 4, 5])
  t.same(heard.gaps, [])
})

for (const state of ['half-open', 'frozen'] as const) {
  t.test(`a ${state} link is noticed within 10 s, and what came meanwhile arrives once`, async t => {
    const { link, bus, heard, other } = await startBus(t)
    await publishOne(other, draft('room', 1))
    await waitFor(() => heard.events.length === 1, 5_000, 'the first event')
    link.set(state)
    for (const n of [2, 3, 4]) await publishOne(other, draft('room', n))
    await waitFor(() => bus.health().status === 'degraded', 10_000, 'the trouble to be noticed')
    link.set('open')
    await waitFor(() => heard.events.length >= 4, 15_000, 'the events')
    await publishOne(other, draft('room', 5))
    await waitFor(() => heard.events.length >= 5, 15_000, 'the next event')
    t.same(payloads(heard.events), [1, 2, 3, 4, 5])
    t.same(heard.gaps, [])
    await waitFor(() => bus.health().status === 'ok', 10_000, 'the bus to be well')
  })
}

t.test('a subscriber that is connected and hears nothing is noticed within 10 s and made anew', async t => {
  const redis = await startRedis(t)
  // Passes everything except published messages, like a connection to a server that is no longer the primary.
  const pairs = new Set<{ isDeaf: boolean }>()
  const port = await startFilter(t, redis.port, () => {
    const pair = { isDeaf: false }
    pairs.add(pair)
    return { toClient: (bytes, pass) => void (pair.isDeaf && bytes.includes('$7\r\nmessage\r\n') ? null : pass(bytes)) }
  })
  const { bus } = createRedisBus(`redis://127.0.0.1:${port}`)
  const heard = await listenTo(t, bus, FOLLOWED)
  await publishOne(bus, draft('room', 1))
  for (const pair of pairs) pair.isDeaf = true
  const startedAt = performance.now()
  await bus.publish([draft('room', 2)])
  await waitFor(() => heard.events.length >= 2, 10_000, 'the event that was not heard')
  t.ok(performance.now() - startedAt < 10_000)
  await publishOne(bus, draft('room', 3))
  t.same(payloads(heard.events), [1, 2, 3])
  t.same(heard.gaps, [])
  await waitFor(() => bus.health().status === 'ok', 10_000, 'the bus to be well')
})

t.test('an emitter repeats by itself until its deadline, and publishes once', async t => {
  const { redis, link, heard } = await startBus(t)
  const redisUrl = `redis://127.0.0.1:${link.port}`
  const emitter = createEmitter({ redisUrl, prefix: 'test:', retryForMs: 15_000 })
  const hasty = createEmitter({ redisUrl, prefix: 'test:', connectTimeoutMs: 300 })
  t.teardown(() => Promise.all([emitter.close(), hasty.close()]))
  await emitter.publish('room', { type: 'tick', data: 1 })
  await hasty.publish('room', { type: 'tick', data: 2 })
  link.set('cut')
  const patient = emitter.publish('room', { type: 'tick', data: 3 })
  const startedAt = performance.now()
  await t.rejects(hasty.publish('room', { type: 'tick', data: 4 }), { code: /^TIDINGS_BUS_UN/ })
  t.ok(performance.now() - startedAt < 2_500, 'it does not hang')
  link.set('open')
  t.ok((await patient).id)
  await waitFor(() => heard.events.length >= 3, 10_000, 'the events')
  t.same(payloads(heard.events), [1, 2, 3])
  await emitter.close()
  await t.rejects(emitter.publish('room', { type: 'tick' }), { code: 'TIDINGS_CLOSED' })
  t.equal(await redis.command('PING'), 'PONG')
})
