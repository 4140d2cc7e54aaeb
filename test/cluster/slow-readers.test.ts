import { readFileSync } from 'node:fs'
import t from 'tap'
import { post } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { ResumingReader } from '../helpers/resuming-reader.js'
import { openStream } from '../helpers/sse.js'

const QUICK = 300
const STALLED = 20
const EVENTS = 200
// More bytes than the kernel buffers on both sides of a loopback connection, and the gateway's queue holds.
const DATA = 'x'.repeat(60_000)

const memoryOf = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024

t.test(
  'readers that stall are closed as slow and resume without loss; others notice nothing, memory is bounded',
  async t => {
    const env = { MAX_CONNECTIONS: '3000', QUEUE_LIMIT_BYTES: '524288', HISTORY_SIZE: '1000' }
    const gateway = await startGateway(t, env, { until: 'ready' })
    const url = `${gateway.url}/v1/stream`
    const counts = new Array<number>(QUICK).fill(0)
    const quick = await Promise.all(
      counts.map((_, n) =>
        openStream(t, `${url}?user=q${n}&rooms=small`, {
          keep: false,
          timeoutMs: 20_000,
          onBlock: (_, event) => {
            if (event?.type === 'tick') counts[n]!++
          },
        }),
      ),
    )
    const stalled = Array.from(
      { length: STALLED },
      (_, n) => new ResumingReader(t, `${url}?user=s${n}&rooms=bulk,small`, { retryMs: 50 }),
    )
    await waitFor(() => stalled.every(reader => reader.opens === 1), 20_000, 'the readers that will stall')
    const before = memoryOf(gateway.pid)
    for (const reader of stalled) reader.pause()
    let peak = 0
    for (let from = 0; from < EVENTS; from += 5) {
      const batch = Array.from({ length: 10 }, (_, i) => {
        const n = from + Math.floor(i / 2)
        return i % 2 ? { to: 'small', type: 'tick', data: `${n}` } : { to: 'bulk', type: 'tick', data: `${n} ${DATA}` }
      })
      t.equal((await post(`${gateway.url}/v1/events`, JSON.stringify(batch))).status, 202)
      peak = Math.max(peak, memoryOf(gateway.pid))
    }
    await waitFor(() => counts.every(count => count === EVENTS), 15_000, 'every event at every quick reader')
    t.notOk(
      quick.some(stream => stream.destroyed),
      'no quick reader was closed',
    )
    const slow = () => gateway.logs.filter(line => line.msg === 'connection closed' && line.reason === 'slow').length
    await waitFor(() => slow() >= STALLED, 15_000, 'every stalled reader to be closed as slow')
    // Each reader may hold a full queue; the frames themselves are shared.
    const allowed = (STALLED * 524_288) / 1_048_576 + 150
    t.ok(peak - before < allowed, `memory rose by ${Math.round(peak - before)} MiB, ${Math.round(allowed)} allowed`)
    for (const reader of stalled) reader.resume()
    const data = (reader: ResumingReader) =>
      reader.events.filter(event => event.type === 'tick').map(event => event.data.split(' ')[0])
    await waitFor(
      () => stalled.every(reader => data(reader).length >= 2 * EVENTS),
      30_000,
      'everything at the readers that had stalled',
    )
    const expected = Array.from({ length: 2 * EVENTS }, (_, n) => `${Math.floor(n / 2)}`)
    for (const reader of stalled) {
      t.same(data(reader), expected, 'complete, in order, without duplicates')
      t.notOk(reader.sights.some(sight => sight.kind === 'gap'))
    }
  },
)

t.test('ephemeral events are skipped first for a reader that is behind, and the others still arrive', async t => {
  const gateway = await startGateway(t, { QUEUE_LIMIT_BYTES: '33554432' }, { until: 'ready' })
  const stream = await openStream(t, `${gateway.url}/v1/stream?user=1&rooms=hub`)
  await stream.next('stream.open')
  stream.pause()
  const bulk = Array.from({ length: 200 }, (_, n) => ({
    to: 'hub',
    type: 'kept',
    data: `${n} ${DATA.slice(0, 30_000)}`,
  }))
  for (let from = 0; from < bulk.length; from += 50)
    await post(`${gateway.url}/v1/events`, JSON.stringify(bulk.slice(from, from + 50)))
  const cursors = Array.from({ length: 50 }, (_, n) => ({ to: 'hub', type: 'cursor', data: n, ephemeral: true }))
  await post(`${gateway.url}/v1/events`, JSON.stringify(cursors))
  await post(`${gateway.url}/v1/rooms/hub/events`, '{"type":"last"}')
  stream.resume()
  await stream.waitFor(({ events }) => events.at(-1)?.type === 'last', 15_000, 'the last event')
  t.equal(stream.events.filter(event => event.type === 'kept').length, 200)
  t.equal(stream.events.filter(event => event.type === 'cursor').length, 0)
})
