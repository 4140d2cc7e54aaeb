import { Writable } from 'node:stream'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { tidings } from '../../src/app.js'
import { listen, post } from '../helpers/app.js'
import { exchange } from '../helpers/exchange.js'
import { openStream } from '../helpers/sse.js'

// No input of a publisher or a reader can forge a frame, a header or a log line. The inputs have line breaks of every kind, raw and
// encoded.

const BREAKS = ['\r\n', '\n', '\r', '\u0000', '\u0085', '\u2028', '\u2029', '\u000b', '\u000c', '\u001b[2J']
const FORGED = 'id: x-1\nevent: forged\ndata: owned\n\n'

/** Starts a gateway that logs at `trace`; `log()` returns the log so far. */
async function start(t: Test) {
  let text = ''
  const stream = new Writable({
    write(chunk, _, done) {
      text += chunk
      done()
    },
  })
  const app = Fastify({ logger: { level: 'trace', stream }, routerOptions: { maxParamLength: 256 } })
  await app.register(tidings, {})
  const { url } = await listen(t, app)
  return { url, log: () => text }
}

/** Checks that every line of the log is one JSON object, and that no input became a line of its own. */
function checkLog(t: Test, log: string): void {
  for (const line of log.trimEnd().split('\n')) {
    t.doesNotThrow(() => JSON.parse(line), line)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not reach a terminal
    t.notMatch(line, /[\u0000-\u001f\u007f]/)
  }
}

t.test('no type, id, key or room with a break in it is taken', async t => {
  const { url, log } = await start(t)
  const reader = await openStream(t, `${url}/v1/stream?user=42&rooms=hub`)
  await reader.next('stream.open')
  for (const br of BREAKS) {
    const evil = `a${br}data: owned${br}${br}`
    const bodies: [string, string][] = [
      ['/v1/rooms/hub/events', JSON.stringify({ type: evil })],
      ['/v1/rooms/hub/events', JSON.stringify({ type: 'a', key: evil })],
      ['/v1/events', JSON.stringify([{ to: evil, type: 'a' }])],
      ['/v1/events', JSON.stringify([{ to: `user:${evil}`, type: 'a' }])],
      [`/v1/rooms/${encodeURIComponent(evil)}/events`, '{"type":"a"}'],
      [`/v1/users/${encodeURIComponent(evil)}/events`, '{"type":"a"}'],
      ['/v1/tickets', JSON.stringify({ userId: evil })],
      ['/v1/tickets', JSON.stringify({ userId: '42', follow: [evil] })],
    ]
    for (const [path, body] of bodies) {
      // An idempotency key never leaves the gateway, so it may hold U+0085 and the line separators U+2028 and U+2029.
      const answer = await post(url + path, body)
      t.equal(answer.status, 400, encodeURIComponent(path + body))
      t.match(answer.body.code, /^TIDINGS_INVALID/)
    }
  }
  await post(`${url}/v1/rooms/hub/events`, '{"type":"last"}')
  await reader.next('last')
  t.same(
    reader.events.map(({ type }) => type),
    ['stream.open', 'last'],
  )
  checkLog(t, log())
})

t.test('data with every kind of break arrives as data and forges no frame, plain and in an envelope', async t => {
  const { url, log } = await start(t)
  const [plain, enveloped] = [
    await openStream(t, `${url}/v1/stream?user=1&rooms=hub`),
    await openStream(t, `${url}/v1/stream?user=2&rooms=hub&envelope=true`),
  ]
  for (const reader of [plain, enveloped]) await reader.next('stream.open')
  const texts = [
    ...BREAKS.map(br => `a${br}event: forged${br}data: b${br}${br}id: x-9`),
    FORGED,
    `\n\n${FORGED}`,
    '\ufeffid: x-9',
  ]
  for (const text of texts) {
    await post(`${url}/v1/rooms/hub/events`, JSON.stringify({ type: 'text', data: text }))
    const event = await plain.next()
    // EventSource turns every kind of line break into a line feed; nothing else changes.
    t.match(event, { type: 'text', data: text.replace(/\r\n|\r/g, '\n') })
    const { type, data } = await enveloped.next()
    t.match({ type, data: JSON.parse(data) }, { type: 'text', data: { room: 'hub', type: 'text', data: text } })
    // JSON data keeps the text between its quotes, in the publisher's own spelling.
    const pretty = `{"type":"json","data":{\r\n"a":${JSON.stringify(text)}\r\n}}`
    await post(`${url}/v1/rooms/hub/events`, pretty)
    t.same(JSON.parse((await plain.next('json')).data), { a: text })
    await enveloped.next('json')
  }
  for (const { lastEventId } of [plain, enveloped]) t.match(lastEventId, /^[a-z0-9]+-\d+$/)
  checkLog(t, log())
  t.notMatch(log(), /forged/)
})

t.test('members that could be mistaken for parts of the envelope stay in the data', async t => {
  const { url } = await start(t)
  const reader = await openStream(t, `${url}/v1/stream?user=1&rooms=hub&envelope=true`)
  await reader.next('stream.open')
  const data = '{"room":"user:7","type":"stream.close","at":0,"data":"x","__proto__":{"a":1}}'
  await post(`${url}/v1/rooms/hub/events`, `{"type":"a","data":${data}}`)
  t.match(
    (await reader.next()).data,
    new RegExp(`^\\{"room":"hub","type":"a","at":\\d+,"data":${data.replace(/[{}]/g, '\\$&')}\\}$`),
  )
})

t.test('control events cannot be published', async t => {
  const { url } = await start(t)
  for (const type of ['stream.open', 'stream.close', 'stream.', 'stream.anything']) {
    const { status, body } = await post(`${url}/v1/broadcast`, JSON.stringify({ type }))
    t.match({ status, body }, { status: 400, body: { code: 'TIDINGS_INVALID_TYPE' } })
  }
})

t.test('a reader cannot put anything into its stream, its headers or the log', async t => {
  const { url, log } = await start(t)
  for (const br of ['%0d%0a', '%0a', '%0d', '%00', '%E2%80%A8', '%C2%85']) {
    const evil = `a${br}Set-Cookie:%20x=1${br}${br}event:%20forged`
    for (const query of [`rooms=${evil}`, `user=${evil}`, `envelope=${evil}`, `rooms=hub&ticket=${evil}`]) {
      const stream = await openStream(t, `${url}/v1/stream?${query}`)
      t.ok(stream.status === 400 || stream.status === 401, `${query}: ${stream.status}`)
      t.equal(stream.headers['set-cookie'], undefined)
      await stream.ended
    }
    for (const headers of [`Origin: a\u0085b`, 'Accept: text/html\u0085', `Origin: "${evil}"`]) {
      const answer = await exchange(
        t,
        url,
        `GET /v1/stream?user=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n\r\n`,
      )
      t.match(answer, /^HTTP\/1\.1 40[036] /)
      t.notMatch(answer, /^Set-Cookie/im)
    }
    // This is no position, so the stream reports a loss, and never repeats the text.
    const stream = await openStream(t, `${url}/v1/stream?user=1&last_event_id=${evil}`)
    t.match(JSON.parse((await stream.next('stream.open')).data), { resumed: false })
    t.notMatch(stream.raw, /forged/)
    stream.close()
  }
  checkLog(t, log())
})

t.test('a request cannot hide another one behind it, neither in its body nor behind an open stream', async t => {
  const { url } = await start(t)
  const inner = 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const both = `POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`
  t.match(await exchange(t, url, both), /^HTTP\/1\.1 400 /)
  const twice = `POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef${inner}`
  t.match(await exchange(t, url, twice), /^HTTP\/1\.1 400 /)
  const bare = `GET /v1/stream?user=1 HTTP/1.1\nHost: localhost\n\n`
  t.notMatch(await exchange(t, url, bare, /\r\n\r\n/), /^HTTP\/1\.1 200 /)
  const behind = await exchange(
    t,
    url,
    `GET /v1/stream?user=1 HTTP/1.1\r\nHost: localhost\r\n\r\n${inner}`,
    /"status"/,
    1_000,
  )
  t.notMatch(behind, /"status"/, 'what follows a stream request is never answered into the stream')
})
