import t from 'tap'
import { startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'
import { openStream } from '../helpers/sse.js'

async function readMetric(url: string, series: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const line = text.split('\n').find(each => each.startsWith(`${series} `))
  if (line === undefined) throw new Error(`there is no ${series}`)
  return Number(line.slice(series.length + 1))
}

t.test('streams are counted as they open, resume and end', async t => {
  const { url } = await startApp(t)
  const read = (series: string) => readMetric(url, series)
  const first = await openStream(t, `${url}/v1/stream?user=1&rooms=hub,den`)
  const { id } = await first.next('stream.open')
  t.equal(await read('tidings_connections'), 1)
  t.equal(await read('tidings_rooms'), 4, "the user's own, *, and two more")
  first.close()
  await waitFor(async () => (await read('tidings_connections')) === 0, 5_000, 'the stream to be gone')
  t.equal(await read('tidings_connections_closed_total{reason="gone"}'), 1)

  await (await openStream(t, `${url}/v1/stream?user=1`, { lastEventId: id })).next('stream.open')
  await (await openStream(t, `${url}/v1/stream?user=1`, { lastEventId: 'nonsense' })).next('stream.open')
  t.equal(await read('tidings_connections_opened_total'), 3)
  t.equal(await read('tidings_resumes_total{outcome="first"}'), 1)
  t.equal(await read('tidings_resumes_total{outcome="complete"}'), 1)
  t.equal(await read('tidings_resumes_total{outcome="incomplete"}'), 1)
})

t.test('an event is counted once when it comes from the bus and once for every connection it goes to', async t => {
  const { app, url } = await startApp(t)
  const streams = [await openStream(t, `${url}/v1/stream?user=1`), await openStream(t, `${url}/v1/stream?user=2`)]
  await app.tidings.broadcast({ type: 'tick', data: 1 })
  await Promise.all(streams.map(stream => stream.next('tick')))
  t.equal(await readMetric(url, 'tidings_events_published_total{route="embedded"}'), 1)
  t.equal(await readMetric(url, 'tidings_events_received_total'), 1)
  t.equal(await readMetric(url, 'tidings_events_delivered_total'), 2)
  t.ok((await readMetric(url, 'tidings_bytes_sent_total')) > 40)
})

t.test('a stream above MAX_CONNECTIONS shows as overloaded, and not as opened', async t => {
  const { url } = await startApp(t, { maxConnections: 1 })
  await (await openStream(t, `${url}/v1/stream?user=1`)).next('stream.open')
  await (await openStream(t, `${url}/v1/stream?user=2`)).next('stream.close')
  const overloaded = () => readMetric(url, 'tidings_connections_closed_total{reason="overloaded"}')
  await waitFor(async () => (await overloaded()) === 1, 5_000, 'the refusal to be counted')
  t.equal(await readMetric(url, 'tidings_connections_opened_total'), 1)
})

t.test('Redis that goes away and comes back shows, as do the publishes it could not take', async t => {
  const redis = await startRedis(t)
  const { url } = await startGateway(t, { SSE_ADAPTER: 'redis', REDIS_URL: redis.url }, { until: 'ready' })
  const becomes = (series: string, holds: (value: number) => boolean) =>
    waitFor(async () => holds(await readMetric(url, series)), 15_000, series)
  await becomes('tidings_redis_up', value => value === 1)
  await becomes('tidings_bus_lag_seconds_count', value => value > 0)
  await redis.kill()
  await becomes('tidings_redis_up', value => value === 0)
  t.equal(await readMetric(url, 'tidings_ready'), 1, 'streams are served all the same')
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ type: 'tick', data: 1 })
  const answer = await fetch(`${url}/v1/broadcast`, { method: 'POST', headers, body })
  t.equal(answer.status, 503)
  t.equal(await readMetric(url, 'tidings_publish_failures_total{reason="unavailable"}'), 1)
  await redis.restart()
  await becomes('tidings_redis_up', value => value === 1)
})
