import t, { type Test } from 'tap'
import { startLink } from '../chaos/proxy.js'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'
import { openStream } from '../helpers/sse.js'

/** Starts two replicas on one Redis that keeps its data over a restart. The link of the second one can be cut. */
async function startPair(t: Test) {
  const redis = await startRedis(t, { appendonly: true })
  const link = await startLink(t, redis.port)
  // A small queue sends a backlog in many slices.
  const env = { SSE_ADAPTER: 'redis', HEARTBEAT_MS: '1000', QUEUE_LIMIT_BYTES: '16384', MAX_EVENT_BYTES: '4096' }
  const near = await startGateway(t, { ...env, REDIS_URL: redis.url }, { until: 'ready' })
  const startFar = () => startGateway(t, { ...env, REDIS_URL: `redis://127.0.0.1:${link.port}` }, { until: 'ready' })
  return { redis, link, near, startFar }
}

async function publish(gateway: Gateway, data: number, padding = ''): Promise<void> {
  await waitFor(
    async () => {
      const body = JSON.stringify({ type: 'tick', data: `${data}${padding}` })
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${gateway.url}/v1/rooms/hub/events`, { method: 'POST', headers, body })
      return response.status === 202
    },
    10_000,
    `event ${data} to be taken`,
  )
}

t.test('a loss is told before the events that came after it: their ids would vouch for what is lost', async t => {
  const { redis, link, near, startFar } = await startPair(t)
  const far = await startFar()
  const stream = await openStream(t, `${far.url}/v1/stream?user=1&rooms=hub`)
  await publish(near, 1)
  await stream.next('tick')
  link.set('cut')
  await redis.kill()
  await redis.restart()
  for (const data of [2, 3, 4]) await publish(near, data)
  link.set('open')
  await stream.waitFor(({ events }) => events.some(({ data }) => data === '4'), 15_000, 'the last event')
  t.same(
    stream.events.map(({ type, data }) => (type === 'tick' ? data : type)),
    ['stream.open', '1', 'stream.gap', '2', '3', '4'],
  )
  const [, one, gap] = stream.events
  t.equal(gap?.id, one?.id, 'the gap vouches for nothing new')
})

t.test('a stream that waits for Redis while Redis changes gets what it missed once', async t => {
  const { redis, link, near, startFar } = await startPair(t)
  const first = await openStream(t, `${near.url}/v1/stream?user=1&rooms=hub`)
  await first.next('stream.open')
  for (let data = 1; data <= 20; data++) await publish(near, data, ' '.repeat(1500))
  // This replica starts after the events, so only Redis can tell it of them.
  const far = await startFar()
  link.set('cut')
  const unready = async () => (await (await fetch(`${far.url}/readyz`)).text()).includes('degraded')
  await waitFor(unready, 10_000, 'the second replica to miss Redis')
  const opening = openStream(t, `${far.url}/v1/stream?user=1&rooms=hub`, { lastEventId: first.events[0]?.id ?? '' })
  const stream = await opening
  await redis.kill()
  await redis.restart()
  link.set('open')
  await publish(near, 21)
  await stream.waitFor(({ events }) => events.at(-1)?.data === '21', 15_000, 'the last event')
  const ticks = stream.events.filter(({ type }) => type === 'tick').map(({ data }) => Number(data))
  t.same(
    ticks,
    Array.from({ length: 21 }, (_, index) => index + 1),
  )
})

t.test('a replica whose epoch the next Redis never had tells of the loss and repeats nothing', async t => {
  const { redis, near } = await startPair(t)
  const stream = await openStream(t, `${near.url}/v1/stream?user=1&rooms=hub`)
  for (const data of [1, 2, 3]) await publish(near, data)
  // Two failovers do this, when the second goes back to a Redis that never knew the epoch in between.
  const [state] = (await redis.command('KEYS', '*state')) as string[]
  await redis.command('HSET', `${state}`, 'epoch', 'stranger', 'lineage', '')
  await stream.next('stream.gap')
  await publish(near, 4)
  await stream.waitFor(({ events }) => events.some(({ data }) => data === '4'), 15_000, 'the last event')
  t.same(
    stream.events.map(({ type, data }) => (type === 'tick' ? data : type)),
    ['stream.open', '1', '2', '3', 'stream.gap', '4'],
  )
})

t.test('a long backlog of large events is read from Redis about once, not again for every piece of it', async t => {
  const redis = await startRedis(t)
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: redis.url }
  const near = await startGateway(t, env, { until: 'ready' })
  const first = await openStream(t, `${near.url}/v1/stream?user=1&rooms=hub`)
  const { id } = await first.next('stream.open')
  first.close()
  const events = 100
  const bytes = 50_000
  for (let data = 1; data <= events; data++) await publish(near, data, ' '.repeat(bytes))
  // This replica starts after the events, so its memory has none of them.
  const far = await startGateway(t, env, { until: 'ready' })
  const sent = async () =>
    Number(/total_net_output_bytes:(\d+)/.exec(String(await redis.command('INFO', 'stats')))?.[1])
  const before = await sent()
  const stream = await openStream(t, `${far.url}/v1/stream?user=1&rooms=hub`, { lastEventId: id })
  await stream.waitFor(({ events: seen }) => seen.length === events + 1, 20_000, 'all of the backlog')
  t.ok((await sent()) - before < 3 * events * bytes)
})
