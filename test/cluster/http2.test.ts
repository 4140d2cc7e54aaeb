import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import type { ClientHttp2Session } from 'node:http2'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { startLink } from '../chaos/proxy.js'
import { waitFor, withDeadline } from '../helpers/deadline.js'
import type { Gateway } from '../helpers/gateway.js'
import { http2Request, openHttp2Stream, openSession } from '../helpers/http2.js'
import { findCommand } from '../helpers/owned-process.js'
import { authority, startSecure } from '../helpers/secure-gateway.js'
import { type SseEvent, SseParser } from '../helpers/sse-parser.js'

const run = promisify(execFile)
const { ca } = authority
const JSON_TYPE = { 'content-type': 'application/json' }

async function publish(session: ClientHttp2Session, data: unknown, room = 'hub') {
  const body = JSON.stringify({ type: 'tick', data })
  return http2Request(session, `/v1/rooms/${room}/events`, { ...JSON_TYPE, body })
}

/** Sends one HTTP/1.1 request over TLS; the result grows as a stream's bytes arrive. */
async function overHttp1(t: Test, port: number, path: string, agent = new Agent({ ca })) {
  const events: SseEvent[] = []
  const parser = new SseParser((_, event) => void (event && events.push(event)))
  const call = request(`https://localhost:${port}${path}`, { agent, ca })
  t.teardown(() => call.destroy())
  let ended = false
  const status = await withDeadline(
    new Promise<number>((resolve, reject) => {
      call.once('error', reject).once('response', response => {
        response.on('data', (bytes: Buffer) => parser.push(bytes))
        response.on('end', () => {
          ended = true
        })
        resolve(response.statusCode ?? 0)
      })
      call.end()
    }),
    5_000,
    `the answer to ${path}`,
  )
  const next = (type: string) => waitFor(() => events.find(event => event.type === type), 5_000, `'${type}'`)
  return { status, events, next, isEnded: () => ended }
}

async function metric(gateway: Gateway, name: string): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  const line = text.split('\n').find(line => line.startsWith(`${name} `))
  return line === undefined ? Number.NaN : Number(line.slice(name.length + 1))
}

function untilConnections(gateway: Gateway, count: number) {
  const isThere = async () => (await metric(gateway, 'tidings_connections')) === count
  return waitFor(isThere, 8_000, `${count} connections`)
}

t.test('one port serves streams and publishes over HTTP/2 and HTTP/1.1, whoever publishes', async t => {
  const { gateway } = await startSecure(t)
  const session = await openSession(t, gateway.port, ca)
  const two = await openHttp2Stream(session, '/v1/stream?user=2&rooms=hub')
  const one = await overHttp1(t, gateway.port, '/v1/stream?user=1&rooms=hub')
  t.equal(one.status, 200)
  t.match(two.headers, {
    ':status': 200,
    'content-type': 'text/event-stream',
    'cache-control': /no-cache.*no-transform/,
    'x-accel-buffering': 'no',
  })
  t.notOk('connection' in two.headers || 'transfer-encoding' in two.headers, 'no header that HTTP/2 forbids')
  await Promise.all([one.next('stream.open'), two.next('stream.open')])
  const { status, text } = await publish(session, { a: 1 })
  t.equal(status, 202)
  for (const reader of [one, two]) t.match(await reader.next('tick'), { id: JSON.parse(text).id, data: '{"a":1}' })
  await publish(session, 2)
  const resumed = await openHttp2Stream(session, '/v1/stream?user=3&rooms=hub', {
    'last-event-id': JSON.parse(text).id,
  })
  t.match(JSON.parse((await resumed.next('stream.open')).data), { resumed: true })
  t.equal((await resumed.next('tick')).data, '2')
  const refused = await http2Request(session, '/v1/stream', { accept: 'application/json' })
  t.match({ ...refused, body: JSON.parse(refused.text) }, { status: 406, body: { code: 'TIDINGS_NOT_ACCEPTABLE' } })
  for (const path of ['/', '/openapi.json', '/docs/']) {
    t.equal((await http2Request(session, path)).status, 200, path)
  }
  t.equal(session.alpnProtocol, 'h2')
  t.equal(await gateway.stop(), 0)
  t.notMatch(gateway.output, /Warning|stack/, 'nothing to warn of')
})

t.test('origins and request rates hold over HTTP/2 as they do over HTTP/1.1', async t => {
  const limits = { RATE_LIMIT_CONNECT: '1', RATE_LIMIT_PUBLISH: '1', CORS_ORIGINS: 'https://app.example' }
  const { gateway } = await startSecure(t, limits)
  const session = await openSession(t, gateway.port, ca)
  const from = { origin: 'https://app.example' }
  const first = await openHttp2Stream(session, '/v1/stream?user=1', from)
  t.match(first.headers, { 'access-control-allow-origin': 'https://app.example', 'x-accel-buffering': 'no' })
  const second = await openHttp2Stream(session, '/v1/stream?user=1', from)
  t.match(second, { status: 200, headers: { 'access-control-allow-origin': 'https://app.example' } })
  t.match(JSON.parse((await second.next('stream.close')).data), { reason: 'overloaded', reconnect: true })
  const foreign = await http2Request(session, '/v1/stream?user=2', { origin: 'https://evil.example' })
  t.match(foreign, { status: 403, text: /TIDINGS_ORIGIN_FORBIDDEN/ })
  const answers = await Promise.all([1, 2, 3, 4, 5].map(data => publish(session, data)))
  t.ok(answers.some(({ status }) => status === 202))
  const tooMany = answers.find(({ status }) => status !== 202)
  t.match(tooMany, { status: 429, headers: { 'retry-after': '1' }, text: /TIDINGS_RATE_LIMITED/ })
  t.equal(await gateway.stop(), 0)
  t.notMatch(gateway.output, /Warning|"level":[56]0/)
})

t.test('curl reads a stream over either protocol', { skip: !findCommand('curl') && 'no curl here' }, async t => {
  const { gateway, folder } = await startSecure(t)
  await writeFile(join(folder, 'ca.crt'), ca)
  for (const protocol of ['--http2', '--http1.1']) {
    const url = `https://localhost:${gateway.port}/v1/stream?user=1`
    const args = ['-sSN', '-i', '-m', '2', protocol, '--cacert', join(folder, 'ca.crt'), url]
    // curl ends at its own time limit, because the stream does not end.
    const { stdout } = await run('curl', args).catch((error: { stdout: string }) => error)
    t.match(stdout, /^HTTP\/(2|1\.1) 200[\s\S]*event: stream\.open\ndata: \{"connectionId"/, protocol)
  }
})

t.test('a stream request that its head does not end is refused: its body would never be read', async t => {
  const { gateway } = await startSecure(t)
  const session = await openSession(t, gateway.port, ca)
  const stream = session.request(
    { ':path': '/v1/stream?user=1', ':method': 'GET', accept: 'text/event-stream' },
    { endStream: false },
  )
  stream.on('error', () => {})
  const head = new Promise<number>(resolve => stream.once('response', head => resolve(Number(head[':status']))))
  t.equal(await withDeadline(head, 5_000, 'the answer'), 400)
  let text = ''
  stream.setEncoding('utf8').on('data', chunk => {
    text += chunk
  })
  await waitFor(() => text.includes('TIDINGS_INVALID_REQUEST'), 5_000, 'the reason')
  t.equal(await metric(gateway, 'tidings_connections'), 0)
})

t.test('a hundred streams on one connection get every event, and one that is cancelled leaves the others', async t => {
  const { gateway } = await startSecure(t, { MAX_CONNECTIONS_PER_USER: '200' })
  const session = await openSession(t, gateway.port, ca)
  const open = (_: unknown, n: number) => openHttp2Stream(session, `/v1/stream?user=${n}&rooms=hub`)
  const readers = await Promise.all(Array.from({ length: 100 }, open))
  await untilConnections(gateway, 100)
  for (let n = 0; n < 20; n++) await publish(session, n)
  for (const reader of readers) await waitFor(() => reader.events.length === 21, 5_000, 'all events')
  t.same(
    readers[99]!.events.slice(1).map(({ data }) => Number(data)),
    Array.from({ length: 20 }, (_, n) => n),
  )
  readers[0]!.stream.close(8) // CANCEL
  await untilConnections(gateway, 99)
  await publish(session, 'on')
  t.equal((await waitFor(() => readers[99]!.events[21], 5_000, 'the event after')).data, 'on')
  session.destroy()
  await untilConnections(gateway, 0)
})

t.test('shutdown tells streams of either protocol, sends GOAWAY, and is done within its window', async t => {
  const { gateway } = await startSecure(t, { DRAIN_WINDOW_MS: '1000' })
  const session = await openSession(t, gateway.port, ca)
  const wentAway = new Promise<void>(resolve => session.once('goaway', () => resolve()))
  const two = await openHttp2Stream(session, '/v1/stream?user=2')
  const one = await overHttp1(t, gateway.port, '/v1/stream?user=1')
  // A browser opens a connection in advance, and keeps one for the next request. Neither may hold up the end.
  const silent = connectTls({ port: gateway.port, host: 'localhost', ca, ALPNProtocols: ['http/1.1'] })
  t.teardown(() => silent.destroy())
  silent.on('error', () => {})
  const kept = await overHttp1(t, gateway.port, '/openapi.json', new Agent({ ca, keepAlive: true }))
  await waitFor(() => kept.isEnded(), 5_000, 'the answer')
  const idle = await openSession(t, gateway.port, ca)
  const startedAt = performance.now()
  const code = gateway.stop(10_000)
  for (const reader of [one, two]) {
    const { data } = await reader.next('stream.close')
    t.match(JSON.parse(data), { reason: 'shutdown', reconnect: true, retryMs: Number })
  }
  t.equal(await withDeadline(two.ended, 3_000, 'the end of the stream'), 0, 'in good order')
  await withDeadline(wentAway, 3_000, 'GOAWAY')
  await waitFor(() => idle.closed, 3_000, 'the end of a connection without streams')
  t.equal(await code, 0)
  t.ok(performance.now() - startedAt < 4_000, 'in time')
  t.notMatch(gateway.output, /Warning|"level":50/)
})

t.test('past max age or a limit, the connection takes no more requests: the reader goes elsewhere', async t => {
  const { gateway } = await startSecure(t, { CONNECTION_MAX_AGE_MS: '2000', MAX_CONNECTIONS: '2' })
  const session = await openSession(t, gateway.port, ca)
  const reader = await openHttp2Stream(session, '/v1/stream?user=1')
  const other = await openSession(t, gateway.port, ca)
  const last = await openHttp2Stream(other, '/v1/stream?user=2')
  await last.next('stream.open')
  const full = await openSession(t, gateway.port, ca)
  const refused = await openHttp2Stream(full, '/v1/stream?user=3')
  t.equal(refused.status, 200, 'EventSource comes back from nothing else')
  t.match(JSON.parse((await refused.next('stream.close')).data), { reason: 'overloaded', reconnect: true })
  await waitFor(() => full.closed, 3_000, 'GOAWAY when overloaded')
  t.match(JSON.parse((await reader.next('stream.close', 8_000)).data), { reason: 'max-age' })
  await waitFor(() => session.closed, 3_000, 'GOAWAY when old')
})

t.test(
  'a reader that opens no window is closed as slow within its bound, and its neighbour misses nothing',
  async t => {
    const limit = 131_072
    const { gateway } = await startSecure(t, { QUEUE_LIMIT_BYTES: `${limit}`, MAX_EVENT_BYTES: '32768' })
    const session = await openSession(t, gateway.port, ca)
    const publisher = await openSession(t, gateway.port, ca)
    const slow = await openHttp2Stream(session, '/v1/stream?user=1&rooms=hub')
    const fast = await openHttp2Stream(session, '/v1/stream?user=2&rooms=hub')
    await untilConnections(gateway, 2)
    slow.stream.pause()
    const data = 'x'.repeat(16_000)
    let most = 0
    for (let n = 0; n < 60; n++) {
      await publish(publisher, data)
      most = Math.max(most, await metric(gateway, 'tidings_queue_bytes'))
    }
    t.ok(most > 0 && most <= limit + 40_000, `at most the bound waits (${most})`)
    await waitFor(() => fast.events.length === 61, 5_000, 'every event at the other reader')
    await untilConnections(gateway, 1)
    slow.stream.resume()
    t.match(JSON.parse((await slow.next('stream.close')).data), { reason: 'slow', reconnect: true })
    const isCounted = async () => (await metric(gateway, 'tidings_connections_closed_total{reason="slow"}')) === 1
    await waitFor(isCounted, 5_000, 'its end to be counted')
  },
)

t.test('readers on a connection whose socket is stuck keep no memory', async t => {
  const { gateway } = await startSecure(t, { QUEUE_LIMIT_BYTES: '262144', MAX_EVENT_BYTES: '65536' })
  const publisher = await openSession(t, gateway.port, ca)
  const wire = await startLink(t, gateway.port)
  // The window is so wide that only the socket holds bytes back.
  const stuck = await openSession(t, wire.port, ca, { initialWindowSize: 64 * 1_048_576 })
  stuck.setLocalWindowSize(256 * 1_048_576)
  const open = (_: unknown, n: number) => openHttp2Stream(stuck, `/v1/stream?user=${n}&rooms=hub`)
  await Promise.all(Array.from({ length: 20 }, open))
  await untilConnections(gateway, 20)
  const before = await metric(gateway, 'process_resident_memory_bytes')
  wire.set('frozen')
  for (let n = 0; n < 200; n++) await publish(publisher, 'x'.repeat(60_000))
  await untilConnections(gateway, 0)
  const grown = (await metric(gateway, 'process_resident_memory_bytes')) - before
  t.ok(grown < 120 * 1_048_576, `${Math.round(grown / 1_048_576)} MiB for 20 readers of 12 MB`)
  const isEmpty = async () => (await metric(gateway, 'tidings_queue_bytes')) === 0
  await waitFor(isEmpty, 10_000, 'nothing to wait any more')
})

t.test(
  'streams that are opened and reset in a burst, and floods of settings and pings, leave the gateway serving',
  async t => {
    const { gateway } = await startSecure(t)
    const hostile = await openSession(t, gateway.port, ca)
    for (let n = 0; n < 3_000 && !hostile.destroyed; n++) {
      try {
        const stream = hostile.request({ ':path': `/v1/stream?user=${n}` })
        stream.on('error', () => {})
        stream.close(8)
      } catch {
        break
      }
    }
    const noisy = await openSession(t, gateway.port, ca)
    for (let n = 0; n < 5_000 && !noisy.destroyed; n++) {
      noisy.settings({ enablePush: false })
      if (n % 10 === 0) noisy.ping(() => {})
    }
    const session = await openSession(t, gateway.port, ca)
    const reader = await openHttp2Stream(session, '/v1/stream?user=1')
    await reader.next('stream.open')
    await untilConnections(gateway, 1)
    const many = Array.from({ length: 300 }, (_, n) => `/v1/stream?user=${n}`)
    t.equal(session.remoteSettings.maxConcurrentStreams, 250, `of ${many.length} streams at once 250 are taken`)
    t.equal(await gateway.stop(), 0)
    t.notMatch(gateway.output, /Warning|"level":[56]0/)
  },
)
