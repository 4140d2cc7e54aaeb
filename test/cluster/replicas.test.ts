import t from 'tap'
import { post } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'
import { ResumingReader } from '../helpers/resuming-reader.js'
import type { Owner } from '../helpers/scope.js'
import { openStream } from '../helpers/sse.js'

async function startReplicas(t: Owner, env: Record<string, string> = {}): Promise<[Gateway, Gateway]> {
  const redis = await startRedis(t)
  const start = () =>
    startGateway(t, { SSE_ADAPTER: 'redis', REDIS_URL: redis.url, DRAIN_WINDOW_MS: '0', ...env }, { until: 'ready' })
  return Promise.all([start(), start()])
}

const [a, b] = await startReplicas(t)

t.test('a stream on one replica gets what is published on the other, and only what it follows', async t => {
  const onA = await openStream(t, `${a.url}/v1/stream?user=42`)
  const onB = await openStream(t, `${b.url}/v1/stream?user=42&rooms=hub`)
  const other = await openStream(t, `${a.url}/v1/stream?user=7&rooms=elsewhere`)
  for (const stream of [onA, onB, other]) await stream.next('stream.open')
  await post(`${b.url}/v1/users/42/events`, '{"type":"own","data":1}')
  await post(`${a.url}/v1/users/42/events`, '{"type":"own","data":2}')
  await post(`${a.url}/v1/rooms/hub/events`, '{"type":"room","data":3}')
  await post(`${b.url}/v1/broadcast`, '{"type":"all","data":4}')
  for (const stream of [onA, onB, other]) await stream.next('all')
  const data = (stream: typeof onA) => stream.events.slice(1).map(event => event.data)
  t.same([data(onA), data(onB), data(other)], [['1', '2', '4'], ['1', '2', '3', '4'], ['4']])
  t.same(onA.events.at(-1), onB.events.at(-1), 'under the same id')
})

t.test('one key published on two replicas at once is published once', async t => {
  const stream = await openStream(t, `${a.url}/v1/stream?user=42`)
  await stream.next('stream.open')
  const body = '{"type":"once","key":"k"}'
  const urls = Array.from({ length: 20 }, (_, n) => `${(n % 2 ? a : b).url}/v1/users/42/events`)
  const answers = await Promise.all(urls.map(url => post(url, body)))
  t.equal(new Set(answers.map(answer => answer.body.id)).size, 1)
  t.equal(answers.filter(answer => answer.body.duplicate === undefined).length, 1)
  await post(`${a.url}/v1/users/42/events`, '{"type":"after"}')
  await stream.next('after')
  t.equal(stream.events.filter(event => event.type === 'once').length, 1)
})

t.test(
  'kill -9 of a replica while events flow: on the other one a reader sees every event once and in order',
  async t => {
    const [a, b] = await startReplicas(t, { HISTORY_SIZE: '2000' })
    const total = 3_000
    const rooms = ['user:42', 'hub', '*']
    const readers = Array.from({ length: 5 }, (_, n) => {
      // From the second attempt on, the reader goes to the live replica.
      let attempts = 0
      const next = () =>
        `${attempts++ === 0 ? a.url : b.url}/v1/stream?user=42&rooms=hub${n === 0 ? '&envelope=true' : ''}`
      return new ResumingReader(t, next, { retryMs: 5 + n * 20 })
    })
    await waitFor(() => readers.every(reader => reader.opens === 1), 10_000, 'the readers to be connected')
    for (let from = 0; from < total; from += 10) {
      const batch = Array.from({ length: 10 }, (_, n) => ({ to: rooms[(from + n) % 3], type: 'tick', data: from + n }))
      const { status } = await post(`${b.url}/v1/events`, JSON.stringify(batch))
      t.equal(status, 202)
      if (from === 1_000) await a.kill()
    }
    const ticks = (reader: ResumingReader) => reader.events.filter(event => event.type === 'tick')
    await waitFor(() => readers.every(reader => ticks(reader).length >= total), 20_000, 'all events at every reader')
    for (const [n, reader] of readers.entries()) {
      const data = ticks(reader).map(event => (n === 0 ? JSON.parse(event.data).data : Number(event.data)))
      t.same(
        data,
        Array.from({ length: total }, (_, i) => i),
        'complete, in order, without duplicates',
      )
      t.match(
        reader.sights.filter(sight => sight.kind === 'open').map(sight => JSON.parse(sight.data).resumed),
        [null, true],
      )
      t.same(
        reader.sights.filter(sight => sight.kind === 'gap'),
        [],
      )
    }
  },
)

t.test('a stream goes from one replica to the other and back, however often, without hole or repeat', async t => {
  const reader = new ResumingReader(
    t,
    [a.url, b.url].map(url => `${url}/v1/stream?user=42`),
    { retryMs: 1 },
  )
  await waitFor(() => reader.opens === 1, 5_000, 'the first stream')
  for (let n = 0; n < 200; n++) {
    await post(`${n % 2 ? a.url : b.url}/v1/users/42/events`, `{"type":"tick","data":${n}}`)
    if (n % 15 === 0) reader.breakLink()
  }
  const ticks = () => reader.events.filter(event => event.type === 'tick').map(event => Number(event.data))
  await waitFor(() => ticks().length >= 200, 10_000, 'all events')
  t.same(
    ticks(),
    Array.from({ length: 200 }, (_, n) => n),
  )
  t.ok(reader.opens > 10, `${reader.opens} streams`)
})
