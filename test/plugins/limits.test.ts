import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { post, startApp } from '../helpers/app.js'
import { exchange } from '../helpers/exchange.js'
import { signWithSecret } from '../helpers/issuer.js'
import { openStream } from '../helpers/sse.js'

// A request may take 30 s before it is cut.
t.setTimeout(90_000)

const SECRET = 'a secret of at least thirty-two characters'
const JSON_TYPE = { 'content-type': 'application/json' }

const overloaded = async (t: Test, url: string, headers: Record<string, string> = {}) => {
  const stream = await openStream(t, url, { headers })
  t.equal(stream.status, 200, 'EventSource never comes back from another status')
  const { data } = await stream.next('stream.close')
  await stream.ended
  t.notOk(stream.raw.includes('stream.open'))
  t.equal(stream.retryMs, JSON.parse(data).retryMs)
  return JSON.parse(data)
}

t.test('publishes over the rate are answered 429 with Retry-After; each publisher has its own', async t => {
  const apiKeys = 'one=key-one-0123456789,two=key-two-0123456789'
  const { url } = await startApp(t, { jwtSecret: SECRET, apiKeys, rateLimitPublish: 3 })
  const publish = (credential: string) =>
    post(`${url}/v1/rooms/hub/events`, '{"type":"a"}', { ...JSON_TYPE, authorization: `Bearer ${credential}` })
  const user = await signWithSecret(SECRET, { sub: '42', tidings: { publish: ['hub'] } })
  for (const credential of ['key-one-0123456789', 'key-two-0123456789', user]) {
    // More requests at once than three windows let through, whenever these begin.
    const answers = await Promise.all(Array.from({ length: 15 }, () => publish(credential)))
    t.ok(
      answers.some(({ status }) => status === 202),
      'some pass',
    )
    const refused = answers.find(({ status }) => status === 429)
    t.match(refused?.body, {
      statusCode: 429,
      code: 'TIDINGS_RATE_LIMITED',
      message: /more than 3 .*RATE_LIMIT_PUBLISH/,
    })
    t.equal(refused?.headers.get('retry-after'), '1')
  }
})

t.test('new streams over the rate are told `overloaded` in the stream, and when to come back', async t => {
  const { url } = await startApp(t, { jwtSecret: SECRET, rateLimitConnect: 2 })
  const as = async (sub: string) => `${url}/v1/stream?token=${await signWithSecret(SECRET, { sub })}`
  for (const sub of ['1', '2']) {
    for (let i = 0; i < 2; i++) await (await openStream(t, await as(sub))).next('stream.open')
    const { reason, reconnect, retryMs } = await overloaded(t, await as(sub))
    t.same({ reason, reconnect }, { reason: 'overloaded', reconnect: true })
    t.ok(retryMs > 1_000 && retryMs <= 120_000)
  }
})

t.test('in open mode the address counts, because users are only said', async t => {
  const { url } = await startApp(t, { rateLimitConnect: 1 })
  const open = async (user: string) => (await (await openStream(t, `${url}/v1/stream?user=${user}`)).next()).type
  t.equal(await open('1'), 'stream.open')
  t.equal(await open('2'), 'stream.close')
})

t.test('a user, and a replica, have a bounded number of streams', async t => {
  const { url } = await startApp(t, { maxConnectionsPerUser: 2, maxConnections: 3 })
  for (const user of ['1', '1', '2']) await (await openStream(t, `${url}/v1/stream?user=${user}`)).next('stream.open')
  t.match(await overloaded(t, `${url}/v1/stream?user=1`), { reason: 'overloaded', reconnect: true })
  t.match(await overloaded(t, `${url}/v1/stream?user=3`), { reason: 'overloaded', reconnect: true })
})

t.test('too many rooms, too large an event and too many items are each named with their limit', async t => {
  const { url } = await startApp(t, { maxRoomsPerConnection: 2, maxEventBytes: 10 })
  const stream = await openStream(t, `${url}/v1/stream?rooms=a,b,c`)
  await stream.ended
  t.match(JSON.parse(stream.raw), { statusCode: 400, code: 'TIDINGS_TOO_MANY_ROOMS', message: /3 .* at most 2/ })
  const large = await post(`${url}/v1/broadcast`, '{"type":"a","data":"01234567890"}')
  t.match(large, { status: 413, body: { code: 'TIDINGS_EVENT_TOO_LARGE', message: /13 bytes but at most 10/ } })
  const items = Array.from({ length: 1_001 }, () => '{"to":"hub","type":"a"}')
  const many = await post(`${url}/v1/events`, `[${items}]`)
  t.match(many, { status: 413, body: { code: 'TIDINGS_BATCH_TOO_LARGE', message: /1001 events but at most 1000/ } })
})

t.test('clients that send their headers or their body drop by drop are cut; an open stream stays', async t => {
  const { url } = await startApp(t, { heartbeatMs: 1_000 })
  const stream = await openStream(t, `${url}/v1/stream?user=1`)
  const slowly = (head: string, drop: string) => {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    const startedAt = performance.now()
    socket.on('error', () => {})
    socket.write(head)
    const timer = setInterval(() => socket.write(drop), 500)
    t.teardown(() => socket.destroy())
    let answer = ''
    socket.setEncoding('latin1').on('data', chunk => {
      answer += chunk
    })
    return new Promise<{ answer: string; ms: number }>(resolve => {
      socket.on('close', () => {
        clearInterval(timer)
        resolve({ answer, ms: performance.now() - startedAt })
      })
    })
  }
  const body =
    'POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n\r\n'
  const [headers, bodies] = await Promise.all([
    slowly('GET /v1/stream?user=1 HTTP/1.1\r\nHost: localhost\r\n', 'X: 1\r\n'),
    slowly(body, ' '),
  ])
  // No error status, because EventSource would never come back after one.
  t.equal(headers.answer, '')
  t.ok(headers.ms > 9_000 && headers.ms < 16_000, `headers: ${headers.ms} ms`)
  t.equal(bodies.answer, '')
  t.ok(bodies.ms > 29_000 && bodies.ms < 36_000, `body: ${bodies.ms} ms`)
  t.notOk(stream.destroyed)
  t.ok(stream.blocks.length > 15, `heartbeats all the while: ${stream.blocks.length}`)
})

t.test('headers beyond what Node takes are refused', async t => {
  const { url } = await startApp(t)
  const head = `GET /livez HTTP/1.1\r\nHost: localhost\r\n${'X-A: 0123456789\r\n'.repeat(3_000)}\r\n`
  t.match(await exchange(t, url, head), /^HTTP\/1\.1 431 /)
})

t.test('a stream request with a body is refused: the end of its reader would go unnoticed', async t => {
  const { app, url } = await startApp(t)
  const head = 'GET /v1/stream?user=1 HTTP/1.1\r\nHost: localhost\r\n'
  const body = 'x'.repeat(200_000)
  for (const request of [
    `Content-Length: 200000\r\n\r\n${body}`,
    `Transfer-Encoding: chunked\r\n\r\n30d40\r\n${body}\r\n0\r\n\r\n`,
  ]) {
    t.match(await exchange(t, url, head + request, /\}$/), /^HTTP\/1\.1 400 .*TIDINGS_INVALID_REQUEST/s)
  }
  t.equal(app.tidings.counts.opened, 0)
  t.match(await exchange(t, url, `${head}Content-Length: 0\r\n\r\n`, /stream\.open/), /stream\.open/)
})
