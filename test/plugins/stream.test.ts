import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { post, startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { openStream } from '../helpers/sse.js'

/** Sends bytes as they are. Resolves with the answer once it holds `until`, or the server has ended the connection. */
function exchange(t: Test, url: string, request: string, until?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    let text = ''
    const late = setTimeout(() => reject(new Error(`in vain: ${JSON.stringify(text)}`)), 10_000)
    const end = () => {
      clearTimeout(late)
      resolve(text)
    }
    socket.on('data', bytes => {
      text += bytes.toString('utf8')
      if (until !== undefined && text.includes(until)) end()
    })
    socket.on('close', end)
    socket.on('error', end)
    socket.write(request)
  })
}

const GET = 'GET /v1/stream?user=42 HTTP/1.1\r\nHost: localhost\r\n'
const WITHOUT_TIMES = /"connectionId":"[0-9a-f-]{36}"/

t.test('a stream, byte by byte: head, stream.open, an event, a string of lines', async t => {
  const { app, url } = await startApp(t)
  const bytes = exchange(t, url, `${GET}Accept: text/event-stream\r\n\r\n`, 'data: b\n\n')
  await waitFor(() => app.tidings.connections.size === 1, 5_000, 'the stream')
  await app.tidings.emit('42', { type: 'job.complete', data: { jobId: 7 } })
  await app.tidings.broadcast({ type: 'note', data: 'a\r\nb' })
  const [head, body] = (await bytes).split('\r\n\r\n')
  const lines = head!.split('\r\n')
  t.equal(lines[0], 'HTTP/1.1 200 OK')
  const headers = new Map(lines.slice(1).map(line => [line.split(': ')[0]!.toLowerCase(), line.split(': ')[1]]))
  t.equal(headers.get('content-type'), 'text/event-stream')
  t.equal(headers.get('cache-control'), 'no-cache, no-transform')
  t.equal(headers.get('x-accel-buffering'), 'no')
  t.equal(headers.get('connection'), 'close')
  t.notOk(headers.has('transfer-encoding') || headers.has('content-length'), 'the body ends with the connection')
  const epoch = /^id: ([a-z0-9]+)-0/.exec(body!)?.[1]
  t.equal(
    body!.replace(WITHOUT_TIMES, '"connectionId":"-"'),
    `id: ${epoch}-0\nevent: stream.open\n` +
      'data: {"connectionId":"-","userId":"42","rooms":["user:42","*"],"resumed":null,"heartbeatMs":25000}\n\n' +
      `id: ${epoch}-1\nevent: job.complete\ndata: {"jobId":7}\n\n` +
      `id: ${epoch}-2\nevent: note\ndata: a\ndata: b\n\n`,
  )
})

t.test('both ways to resume work, and the header goes first', async t => {
  const { app, url } = await startApp(t)
  const ids: string[] = []
  for (let n = 1; n <= 5; n++) ids.push((await app.tidings.emit('42', { type: 'tick', data: n })).id)
  const missed = async (query: string, lastEventId?: string) => {
    const stream = await openStream(
      t,
      `${url}/v1/stream?user=42${query}`,
      lastEventId === undefined ? {} : { lastEventId },
    )
    const open = JSON.parse((await stream.next('stream.open')).data)
    await app.tidings.emit('42', { type: 'end' })
    await stream.next('end')
    stream.close()
    return [open.resumed, ...stream.events.filter(event => event.type === 'tick').map(event => event.data)]
  }
  t.same(await missed('', ids[2]), [true, '4', '5'])
  t.same(await missed(`&last_event_id=${ids[3]}`), [true, '5'])
  t.same(await missed(`&last_event_id=${ids[0]}`, ids[4]), [true])
  t.same(await missed('&last_event_id='), [null], 'an empty one is a first visit')
})

t.test('a position that nobody was given is never complete', async t => {
  const { app, url } = await startApp(t)
  const { id } = await app.tidings.emit('42', { type: 'tick' })
  const [epoch, seq] = id.split('-')
  for (const bad of [
    'garbage',
    `${epoch}-${Number(seq) + 1}`,
    'nosuch-1',
    `${epoch}--1`,
    `${epoch}-1e3`,
    '-',
    'x'.repeat(5_000),
  ]) {
    const stream = await openStream(t, `${url}/v1/stream?user=42`, { lastEventId: bad })
    t.match(await stream.next('stream.open'), { data: /"resumed":false/, id }, bad.slice(0, 20))
    stream.close()
  }
})

t.test('a stream that saw nothing resumes from its stream.open, and from a heartbeat', async t => {
  const { app, url } = await startApp(t, { heartbeatMs: 1_000 })
  const stream = await openStream(t, `${url}/v1/stream?user=42`)
  const { id } = await stream.next('stream.open')
  await app.tidings.emit('7', { type: 'elsewhere' })
  await stream.waitFor(({ lastEventId }) => lastEventId !== id, 5_000, 'a heartbeat')
  t.equal(stream.events.length, 1, 'a heartbeat dispatches nothing')
  const resumed = await openStream(t, `${url}/v1/stream?user=42`, { lastEventId: stream.lastEventId })
  t.match(await resumed.next('stream.open'), { data: /"resumed":true/ })
})

const REFUSED: [
  what: string,
  query: string,
  headers: Record<string, string>,
  status: number,
  code: string,
  says: RegExp,
][] = [
  [
    'Accept: application/json',
    '',
    { Accept: 'application/json' },
    406,
    'NOT_ACCEPTABLE',
    /'application\/json' but \/v1\/stream only/,
  ],
  ['a bad room', '&rooms=a,b%20c', {}, 400, 'INVALID_ROOM', /'b c' in the query parameter rooms must be 1-200/],
  ['an empty room', '&rooms=a,,b', {}, 400, 'INVALID_ROOM', /'' in the query parameter rooms/],
  [
    '101 rooms',
    `&rooms=${Array.from({ length: 101 }, (_, n) => `r${n}`)}`,
    {},
    400,
    'TOO_MANY_ROOMS',
    /101 rooms .* at most 100 \(MAX_ROOMS/,
  ],
  ['rooms twice', '&rooms=a&rooms=b', {}, 400, 'INVALID_QUERY', /one comma-separated list/],
  ['envelope=1', '&envelope=1', {}, 400, 'INVALID_QUERY', /envelope is '1' but must be 'true' or 'false'/],
  ['two users', '&user=7', {}, 400, 'INVALID_USER', /user/],
]

t.test('a bad request for a stream is refused with a code and what to do, and the gateway goes on', async t => {
  const { url } = await startApp(t)
  for (const [what, query, headers, status, code, says] of REFUSED) {
    const response = await fetch(`${url}/v1/stream?user=42${query}`, { headers })
    t.match(
      { status: response.status, body: await response.json() },
      { status, body: { statusCode: status, code: `TIDINGS_${code}`, message: says } },
      what,
    )
  }
  const stream = await openStream(t, `${url}/v1/stream?user=42&rooms=${Array.from({ length: 100 }, (_, n) => `r${n}`)}`)
  t.equal(JSON.parse((await stream.next('stream.open')).data).rooms.length, 102)
})

t.test('rooms named like members of objects are rooms like any other', async t => {
  const { app, url } = await startApp(t)
  const names = ['__proto__', 'constructor', 'toString']
  const stream = await openStream(t, `${url}/v1/stream?user=__proto__&rooms=${names},${names}`)
  await stream.next('stream.open')
  for (const name of names) {
    await app.tidings.publish(name, { type: name, data: name })
    t.match(await stream.next(), { type: name, data: name })
  }
  await app.tidings.emit('__proto__', { type: 'own' })
  t.ok(await stream.next('own'))
  await app.tidings.emit('constructor', { type: 'other' })
  await app.tidings.broadcast({ type: 'end' })
  t.match(await stream.next(), { type: 'end' })
})

t.test('HEAD opens no stream', async t => {
  const { app, url } = await startApp(t)
  t.equal((await fetch(`${url}/v1/stream`, { method: 'HEAD' })).status, 404)
  t.equal(app.tidings.connections.size, 0)
})

t.test('a request sent along with that of a stream ends the connection; what is sent later is dropped', async t => {
  const { app, url } = await startApp(t)
  const post =
    'POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"type":"x"}'
  for (const second of [`${GET}\r\n`, post])
    t.notMatch(await exchange(t, url, `${GET}\r\n${second}`), /event: x|HTTP.*HTTP/s)
  await waitFor(() => app.tidings.connections.size === 0, 5_000, 'the end of those streams')
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  let text = ''
  socket.on('data', bytes => {
    text += bytes.toString('utf8')
  })
  socket.write(`${GET}\r\n`)
  await waitFor(() => text.includes('stream.open'), 5_000, 'the stream')
  socket.write(`${post}GARBAGE\r\n\r\n`)
  await waitFor(() => socket.bytesWritten > post.length && socket.writableLength === 0, 5_000, 'the bytes to be sent')
  await app.tidings.broadcast({ type: 'after' })
  await waitFor(() => text.includes('event: after'), 5_000, 'the next event')
  t.notMatch(text, /event: x/)
})

t.test('readers that go away at any moment leave nothing behind', async t => {
  const { app, url } = await startApp(t)
  for (let n = 0; n < 60; n++) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`${GET}Last-Event-ID: garbage-1\r\n\r\n`)
    if (n % 3 === 0) socket.resetAndDestroy()
    else if (n % 3 === 1) socket.end()
    else setImmediate(() => socket.destroy())
    if (n % 10 === 0) await app.tidings.broadcast({ type: 'tick', data: 'x'.repeat(60_000) })
  }
  await waitFor(() => app.tidings.connections.size === 0, 10_000, 'no streams')
  const { opened, closed } = app.tidings.counts
  t.equal(opened, closed.gone)
  t.equal((await post(`${url}/v1/broadcast`, '{"type":"x"}')).status, 202)
})

t.test('above a limit a stream is told so in the stream: an EventSource comes back from that', async t => {
  const { url } = await startApp(t, { maxConnections: 3, maxConnectionsPerUser: 2 })
  const open = (user: string) => openStream(t, `${url}/v1/stream?user=${user}`)
  const first = await open('1')
  await first.next('stream.open')
  await (await open('1')).next('stream.open')
  const third = await open('1')
  t.equal(third.status, 200)
  t.equal(await third.ended, 'end')
  t.match(
    third.raw,
    /^retry: \d+\nevent: stream\.close\ndata: \{"reason":"overloaded","reconnect":true,"retryMs":\d+\}\n\n$/,
  )
  await (await open('2')).next('stream.open')
  const fifth = await open('3')
  await fifth.ended
  t.match(fifth.raw, /"reason":"overloaded"/)
  first.close()
  await waitFor(
    async () => {
      const stream = await open('3')
      const { type } = await stream.next()
      return type === 'stream.open'
    },
    5_000,
    'a seat',
  )
})

t.test(
  'closing the application ends every stream with shutdown, and does not wait for those that do not read',
  async t => {
    const { app, url } = await startApp(t)
    const streams = await Promise.all(Array.from({ length: 5 }, () => openStream(t, `${url}/v1/stream?user=42`)))
    for (const stream of streams) await stream.next('stream.open')
    streams[0]!.pause()
    for (let n = 0; n < 20; n++) await app.tidings.broadcast({ type: 'bulk', data: 'x'.repeat(60_000) })
    const startedAt = performance.now()
    await app.close()
    t.ok(performance.now() - startedAt < 5_000)
    for (const stream of streams.slice(1)) {
      t.equal(await stream.ended, 'end')
      t.match(stream.events.at(-1), { type: 'stream.close', data: /"reason":"shutdown","reconnect":true/ })
      t.ok(stream.retryMs! >= 500 && stream.retryMs! <= 5_000)
    }
  },
)
