import { EventSource } from 'eventsource'
import t from 'tap'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { OwnedProcess } from '../helpers/owned-process.js'
import { startRedis } from '../helpers/redis.js'

// Third-party clients, unchanged.

const DEADLINE_MS = 20_000

async function publish({ url }: Gateway, data: unknown): Promise<string> {
  const response = await fetch(`${url}/v1/users/42/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'tick', data }),
  })
  if (response.status !== 202) throw new Error(`the answer was ${response.status}: ${await response.text()}`)
  const { id } = (await response.json()) as { id: string } // the 202 schema
  return id
}

t.test('the npm package eventsource hears events, and resumes without a hole when its replica was killed', async t => {
  const redis = await startRedis(t)
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: redis.url }
  const [a, b] = await Promise.all([startGateway(t, env, { until: 'ready' }), startGateway(t, env, { until: 'ready' })])
  const heard: number[] = []
  const ids: string[] = []
  const opens: unknown[] = []
  const source = new EventSource(`${a.url}/v1/stream?user=42`)
  t.teardown(() => source.close())
  source.addEventListener('stream.open', ({ data }) => opens.push(JSON.parse(data).resumed))
  source.addEventListener('tick', ({ data, lastEventId }) => {
    heard.push(JSON.parse(data))
    ids.push(lastEventId)
  })
  await waitFor(() => opens.length === 1, DEADLINE_MS, 'the stream to open')
  const published: string[] = []
  for (let n = 0; n < 50; n++) published.push(await publish(b, n))
  await waitFor(() => heard.length === 50, DEADLINE_MS, '50 events')
  await a.kill()
  for (let n = 50; n < 100; n++) published.push(await publish(b, n))
  await a.restart()
  await waitFor(() => heard.length >= 100, DEADLINE_MS, '100 events')
  t.same(heard, [...Array(100).keys()])
  t.same(ids, published)
  t.same(opens, [null, true])
})

t.test('curl -N prints the stream as it comes', async t => {
  const gateway = await startGateway(t)
  const curl = new OwnedProcess({ command: 'curl', args: ['-sN', `${gateway.url}/v1/stream?user=42`] })
  t.teardown(() => curl.kill())
  curl.start()
  await waitFor(() => curl.lines.includes('event: stream.open'), DEADLINE_MS, 'the stream to open')
  const id = await publish(gateway, { n: 1 })
  await waitFor(() => curl.lines.includes('data: {"n":1}'), DEADLINE_MS, 'the event')
  const at = curl.lines.indexOf(`id: ${id}`)
  t.same(curl.lines.slice(at, at + 4), [`id: ${id}`, 'event: tick', 'data: {"n":1}', ''])
})

t.test('curl -N sees the end that a shutdown announces, and ends', async t => {
  const gateway = await startGateway(t, { DRAIN_WINDOW_MS: '0' })
  const curl = new OwnedProcess({ command: 'curl', args: ['-sN', `${gateway.url}/v1/stream?user=42`] })
  t.teardown(() => curl.kill())
  curl.start()
  await waitFor(() => curl.lines.includes('event: stream.open'), DEADLINE_MS, 'the stream to open')
  t.equal(await gateway.stop(), 0)
  t.equal(await curl.exited, 0, 'to curl a stream that was ended is whole')
  t.match(
    curl.lines.join('\n'),
    /retry: \d+\nevent: stream.close\ndata: {"reason":"shutdown","reconnect":true,"retryMs":\d+}/,
  )
})
