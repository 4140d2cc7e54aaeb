import t from 'tap'
import { startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { runGateway, startGateway } from '../helpers/gateway.js'
import { openStream, type StreamReader } from '../helpers/sse.js'

const PAD = 'x'.repeat(60_000)

const readyz = async (url: string) => (await fetch(`${url}/readyz`)).status

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(
    `${signal}: not ready, everything served for the delay, streams end spread over the window, exit 0`,
    async t => {
      const gateway = await startGateway(t, { DRAIN_DELAY_MS: '1000', DRAIN_WINDOW_MS: '2000' }, { until: 'ready' })
      const url = `${gateway.url}/v1/stream`
      const streams = await Promise.all(Array.from({ length: 40 }, (_, n) => openStream(t, `${url}?user=${n}`)))
      const endedAt: number[] = []
      for (const stream of streams) {
        await stream.next('stream.open')
        void stream.ended.then(() => endedAt.push(performance.now()))
      }
      const startedAt = performance.now()
      gateway.signal(signal)
      await waitFor(async () => (await readyz(gateway.url)) === 503, 1_000, 'readiness to fail')
      const served = await fetch(`${gateway.url}/v1/broadcast`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"type":"late"}',
      })
      t.equal(served.status, 202, 'a publish within the delay')
      for (const stream of streams) await stream.next('late')
      await waitFor(() => endedAt.length === streams.length, 15_000, 'the end of every stream')
      const first = endedAt[0]! - startedAt
      const spread = endedAt.at(-1)! - endedAt[0]!
      t.ok(first >= 900, `the first ended after ${first} ms`)
      t.ok(spread >= 1_000 && spread < 4_000, `they ended over ${spread} ms`)
      const retries = streams.map(stream => stream.retryMs!)
      for (const stream of streams) {
        t.match(stream.events.at(-1), { type: 'stream.close', data: /"reason":"shutdown","reconnect":true/ })
      }
      t.ok(Math.min(...retries) >= 500 && Math.max(...retries) <= 5_000)
      t.ok(new Set(retries).size > 30, 'each comes back at its own time')
      t.equal(await gateway.exited, 0)
      t.ok(performance.now() - startedAt < 8_000)
    },
  )
}

t.test('a second signal exits at once', async t => {
  const gateway = await startGateway(t, { DRAIN_DELAY_MS: '60000' }, { until: 'ready' })
  gateway.signal('SIGTERM')
  await waitFor(async () => (await readyz(gateway.url)) === 503, 5_000, 'readiness to fail')
  const startedAt = performance.now()
  gateway.signal('SIGTERM')
  await gateway.exited
  t.ok(performance.now() - startedAt < 5_000)
})

t.test('a gateway without streams exits 0 without waiting for the window', async t => {
  const gateway = await startGateway(t, { DRAIN_WINDOW_MS: '60000' }, { until: 'ready' })
  t.equal(await gateway.stop(10_000), 0)
})

t.test('a bad configuration ends with code 1 and names every mistake', async t => {
  const { code, output } = await runGateway(t, { PORT: 'abc', SSE_ADAPTER: 'kafka', HEARTBEAT_MS: '5' })
  t.equal(code, 1)
  t.match(output, /PORT is 'abc' but must be 0-65535/)
  t.match(output, /SSE_ADAPTER is 'kafka' but must be 'memory', 'redis'/)
  t.match(output, /HEARTBEAT_MS is '5' but must be 1000-60000/)
})

t.test('streams end by max-age, each at its own time around it', async t => {
  const { url } = await startApp(t, { connectionMaxAgeMs: 3_000 })
  const openedAt = performance.now()
  const streams = await Promise.all(Array.from({ length: 30 }, (_, n) => openStream(t, `${url}/v1/stream?user=${n}`)))
  const lived = async (stream: StreamReader) => {
    await stream.ended
    return performance.now() - openedAt
  }
  const ages = await Promise.all(streams.map(lived))
  for (const stream of streams) t.match(stream.events.at(-1), { data: /"reason":"max-age","reconnect":true/ })
  t.ok(Math.min(...ages) >= 2_300, `${Math.min(...ages)} ms`)
  t.ok(Math.max(...ages) <= 3_600 + 2_500, `${Math.max(...ages)} ms`)
  t.ok(Math.max(...ages) - Math.min(...ages) >= 500, 'jittered')
})

t.test('a stream that comes while the gateway closes is told shutdown with a 200, never a 503', async t => {
  const gateway = await startGateway(t, { DRAIN_WINDOW_MS: '0', QUEUE_LIMIT_BYTES: '67108864' })
  // A reader that takes nothing keeps the gateway closing, for as long as it waits for the last bytes to be taken.
  const stuck = await openStream(t, `${gateway.url}/v1/stream?user=1`)
  stuck.pause()
  for (let sent = 0; sent < 300; sent++) {
    const body = JSON.stringify({ type: 'tick', data: PAD })
    const headers = { 'content-type': 'application/json' }
    await fetch(`${gateway.url}/v1/broadcast`, { method: 'POST', headers, body })
  }
  gateway.signal('SIGTERM')
  await waitFor(() => gateway.logs.some(({ msg }) => msg === 'draining'), 5000, 'the gateway to drain')
  let served = 0
  while (gateway.isRunning) {
    const late = await openStream(t, `${gateway.url}/v1/stream?user=2`).catch(() => undefined)
    if (!late) continue
    await late.ended
    t.equal(late.status, 200)
    t.match(late.raw, /^retry: \d+\nevent: stream\.close\ndata: \{"reason":"shutdown"/)
    served++
  }
  t.ok(served > 0, 'some came in time')
  t.equal(await gateway.exited, 0)
})
