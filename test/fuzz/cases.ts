import fc, { type Arbitrary } from 'fast-check'
import { batchBody } from './batches.js'
import { mutated } from './mutations.js'

/** Bytes to send to a gateway, with the facts to judge its answer. */
export interface Case {
  readonly bytes: Buffer
  /** True for a whole request: an answer or an end must come. Otherwise the server may go on waiting for the rest. */
  readonly isWhole: boolean
  /** The credentials in the bytes: no answer may hold one. */
  readonly secrets: readonly string[]
}

/** Credentials that the gateway accepts, and some that it refuses. */
export interface Secrets {
  readonly keys: readonly string[]
  readonly tokens: readonly string[]
  readonly tickets: readonly string[]
}

const METHODS = ['GET', 'POST', 'DELETE', 'PUT', 'PATCH', 'OPTIONS', 'HEAD', 'TRACE', 'PROPFIND', 'PURGE']
const EVIL = [
  '',
  '*',
  '%',
  '%zz',
  '%00',
  '%0d%0a',
  '..',
  '%2e%2e',
  '/',
  '%2f',
  '\u00e9',
  '__proto__',
  'constructor',
  'a'.repeat(300),
]
const NAMES = ['42', '7', 'session:abc', 'user:42', 'hub', '*']
const TYPES = [
  'application/json',
  'application/x-ndjson',
  'text/plain',
  'multipart/form-data',
  'application/json; charset=utf-16',
  'x',
]

/** Requests to every route, well made, badly made and mutated, and bytes that are no request. */
export function cases(secrets: Secrets): Arbitrary<Case> {
  const whole = wholeRequest(secrets)
  return fc.oneof(
    { weight: 8, arbitrary: whole },
    // The mutation may have broken the request's framing, so an answer need not come.
    {
      weight: 3,
      arbitrary: mutated(whole.map(({ bytes }) => bytes)).map(bytes => ({ bytes, isWhole: false, secrets: [] })),
    },
    { weight: 1, arbitrary: noRequest() },
  )
}

function wholeRequest(secrets: Secrets): Arbitrary<Case> {
  return fc
    .record({
      target: target(secrets),
      credential: fc.option(credential(secrets), { freq: 6, nil: { lines: [], secrets: [] } }),
      headers: fc.array(header(), { maxLength: 4 }),
      anyBody: fc.option(body(), { freq: 3, nil: Buffer.alloc(0) }),
      eventBody: eventRequest().map(each => Buffer.from(JSON.stringify(each))),
      batch: batchBody(),
      ticketBody: ticketRequest().map(each => Buffer.from(JSON.stringify(each))),
      isFitting: fc.nat(4).map(n => n > 0),
      isChunked: fc.boolean(),
    })
    .map(({ target, credential, headers, anyBody, eventBody, batch, ticketBody, isFitting, ...rest }) => {
      const isStream = isFitting && target.path.startsWith('/v1/stream')
      const isTicket = isFitting && target.path.startsWith('/v1/tickets')
      const isEvent = isFitting && /^\/v1\/(users|rooms|broadcast)\b/.test(target.path)
      const isBatch = isFitting && target.path.startsWith('/v1/events')
      const type = isBatch
        ? [`Content-Type: ${batch.type}`]
        : isTicket || isEvent
          ? ['Content-Type: application/json']
          : []
      const fitting = isBatch ? batch.body : isTicket ? ticketBody : isEvent ? eventBody : anyBody
      const body = isStream ? Buffer.alloc(0) : fitting
      const isChunked = !isStream && rest.isChunked
      const length = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
      const lines = [
        `${target.method} ${target.path} HTTP/1.1`,
        'Host: 127.0.0.1',
        ...credential.lines,
        ...type,
        ...headers,
      ]
      const head = Buffer.from(`${[...lines, length, 'Connection: close'].join('\r\n')}\r\n\r\n`, 'latin1')
      const framed = isChunked
        ? [Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]
        : [body]
      const sent = isChunked && body.length === 0 ? [Buffer.from('0\r\n\r\n')] : framed
      return {
        bytes: Buffer.concat([head, ...sent]),
        isWhole: true,
        secrets: [...credential.secrets, ...target.secrets],
      }
    })
}

function target({ tickets }: Secrets): Arbitrary<{ method: string; path: string; secrets: string[] }> {
  const name = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...NAMES) },
    { weight: 1, arbitrary: fc.constantFrom(...EVIL) },
    { weight: 1, arbitrary: fc.string({ maxLength: 20 }).map(encodeURIComponent) },
  )
  const route = (method: string, path: Arbitrary<string>, secrets: string[] = []) =>
    path.map(path => ({ method, path, secrets }))
  const known = fc.oneof(
    { weight: 6, arbitrary: route('GET', fc.constant('/v1/stream')) },
    {
      weight: 3,
      arbitrary: route(
        'POST',
        name.map(user => `/v1/users/${user}/events`),
      ),
    },
    {
      weight: 3,
      arbitrary: route(
        'POST',
        name.map(room => `/v1/rooms/${room}/events`),
      ),
    },
    { weight: 2, arbitrary: route('POST', fc.constant('/v1/broadcast')) },
    { weight: 3, arbitrary: route('POST', fc.constant('/v1/events')) },
    { weight: 3, arbitrary: route('POST', fc.constant('/v1/tickets')) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(...tickets).map(ticket => ({
        method: 'DELETE',
        path: `/v1/tickets/${ticket}`,
        secrets: [ticket],
      })),
    },
    {
      weight: 2,
      arbitrary: route(
        'DELETE',
        name.map(user => `/v1/users/${user}/connections`),
      ),
    },
    {
      weight: 1,
      arbitrary: route(
        'DELETE',
        name.map(id => `/v1/connections/${id}`),
      ),
    },
    {
      weight: 1,
      arbitrary: route('GET', fc.constantFrom('/livez', '/readyz', '/metrics', '/openapi.json', '/docs', '/')),
    },
    { weight: 1, arbitrary: route('GET', fc.webPath()) },
    {
      weight: 1,
      arbitrary: route(
        'GET',
        name.map(path => `/${path}`),
      ),
    },
  )
  return fc
    .record({
      known,
      query: query(),
      method: fc.option(fc.constantFrom(...METHODS), { freq: 6, nil: undefined }),
      isOther: fc.nat(5),
    })
    .map(({ known, query, method, isOther }) => ({
      method: isOther === 0 && method !== undefined ? method : known.method,
      path: known.path.replaceAll(/[^\x21-\x7e]/g, encodeURIComponent) + query,
      secrets: known.secrets,
    }))
}

function query(): Arbitrary<string> {
  const names = ['rooms', 'user', 'envelope', 'last_event_id', 'rooms', '__proto__', 'constructor', 'x']
  const value = fc.oneof(
    fc.constantFrom(...NAMES, 'a,b,c', 'true', 'false', 'abc-1', 'abc-99999999999999999999', '42'),
    fc.constantFrom(...EVIL.map(each => each.replaceAll(/[^\x21-\x7e]/g, encodeURIComponent))),
    fc.string({ maxLength: 30 }).map(encodeURIComponent),
  )
  const pair = fc.tuple(fc.constantFrom(...names), value).map(([name, value]) => `${name}=${value}`)
  return fc.array(pair, { maxLength: 4 }).map(pairs => (pairs.length === 0 ? '' : `?${pairs.join('&')}`))
}

function credential({ keys, tokens }: Secrets): Arbitrary<{ lines: string[]; secrets: string[] }> {
  const good = fc.constantFrom(...keys, ...tokens)
  const bad = good.chain(secret =>
    fc.oneof(
      fc.nat(secret.length - 1).map(at => `${secret.slice(0, at)}${secret.slice(at + 1)}`),
      fc.nat(secret.length - 1).map(at => `${secret.slice(0, at)}!${secret.slice(at)}`),
      fc.constant(secret.split('.').reverse().join('.')),
      fc.base64String({ minLength: 20, maxLength: 400 }),
    ),
  )
  const secret = fc.oneof({ weight: 4, arbitrary: good }, { weight: 1, arbitrary: bad })
  const place = fc.constantFrom<(secret: string) => string>(
    secret => `Authorization: Bearer ${secret}`,
    secret => `Authorization: Bearer ${secret}`,
    secret => `X-API-Key: ${secret}`,
    secret => `Cookie: session=${secret}`,
    secret => `Cookie: a=b; session="${secret}"; session=`,
    secret => `authorization: Basic ${secret}`,
    secret => `Authorization: Bearer ${secret}\r\nAuthorization: Bearer ${secret}`,
  )
  return fc.tuple(place, secret).map(([place, secret]) => ({ lines: [place(secret)], secrets: [secret] }))
}

function header(): Arbitrary<string> {
  const text = fc.string({ maxLength: 40, unit: 'binary-ascii' }).map(text => text.replaceAll(/[^\x20-\x7e]/g, '?'))
  return fc.oneof(
    fc.constantFrom(...TYPES).map(type => `Content-Type: ${type}`),
    fc.constantFrom(...TYPES).map(() => 'Content-Type: application/json'),
    fc
      .constantFrom('text/event-stream', '*/*', 'application/json', '', ';;q=,', 'text/event-stream;q=0')
      .map(each => `Accept: ${each}`),
    fc.constantFrom('https://app.example', 'https://evil.example', 'null', '://').map(each => `Origin: ${each}`),
    fc.constantFrom('100-continue', 'nothing').map(each => `Expect: ${each}`),
    fc.constantFrom('websocket', 'h2c').map(each => `Upgrade: ${each}`),
    fc.constantFrom('https', 'POST', 'x').map(each => `Access-Control-Request-Method: ${each}`),
    text.map(each => `Last-Event-ID: ${each}`),
    text.map(each => `Idempotency-Key: ${each}`),
    text.map(each => `X-Forwarded-For: ${each}`),
    text.map(each => `Cookie: ${each}`),
    text.map(each => `X-Anything: ${each}`),
  )
}

function body(): Arbitrary<Buffer> {
  const event = fc.record(
    {
      type: fc.oneof(fc.constantFrom('tick', 'job.complete', 'stream.open', ''), fc.string({ maxLength: 140 })),
      data: fc.oneof(fc.jsonValue({ maxDepth: 4 }), fc.string({ unit: 'grapheme', maxLength: 200 })),
      key: fc.oneof(fc.constantFrom('k1', 'k2'), fc.string({ maxLength: 10 })),
      ephemeral: fc.oneof(fc.boolean(), fc.constantFrom(1, null, 'x')),
      to: fc.oneof(fc.constantFrom(...NAMES), fc.string({ maxLength: 10 }), fc.constant(7)),
    },
    { requiredKeys: ['type'] },
  )
  const text = fc.oneof(
    { weight: 4, arbitrary: event.map(each => JSON.stringify(each)) },
    { weight: 2, arbitrary: fc.array(event, { maxLength: 5 }).map(each => JSON.stringify(each)) },
    {
      weight: 2,
      arbitrary: fc.array(event, { maxLength: 5 }).map(each => each.map(item => JSON.stringify(item)).join('\n')),
    },
    { weight: 2, arbitrary: ticketRequest().map(each => JSON.stringify(each)) },
    { weight: 1, arbitrary: fc.json() },
    {
      weight: 1,
      arbitrary: fc.nat(3_000).map(depth => `{"type":"a","data":${'['.repeat(depth)}${']'.repeat(depth)}}`),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '{"type":"a","data":1e999}',
        '{"type":"a","type":"b"}',
        '{"__proto__":{}}',
        '\ufeff{}',
        '[',
        '"',
        '{"type":"a",',
      ),
    },
    { weight: 1, arbitrary: fc.nat(80_000).map(size => `{"type":"a","data":"${'x'.repeat(size)}"}`) },
  )
  return fc.oneof(
    { weight: 6, arbitrary: text.map(each => Buffer.from(each)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 500 }).map(each => Buffer.from(each)) },
  )
}

function eventRequest(): Arbitrary<object> {
  return fc.record(
    {
      type: fc.constantFrom('tick', 'job.complete'),
      data: fc.oneof(
        fc.jsonValue({ maxDepth: 3 }),
        fc.nat(8_000).map(size => 'x'.repeat(size)),
      ),
      key: fc.constantFrom('k1', 'k2'),
    },
    { requiredKeys: ['type', 'data'] },
  )
}

function ticketRequest(): Arbitrary<object> {
  return fc.record(
    {
      userId: fc.oneof(fc.constantFrom('42', '7'), fc.constantFrom('42', '', 'a b')),
      follow: fc.array(fc.constantFrom(...NAMES, 'session:*', 'a*b'), { maxLength: 3 }),
      ttl: fc.oneof(fc.integer({ min: 1, max: 43_200 }), fc.integer()),
    },
    { requiredKeys: ['userId'] },
  )
}

function noRequest(): Arbitrary<Case> {
  const prefix = fc.constantFrom(
    '',
    'GET / HTTP/1.1\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\u0016\u0003\u0001',
    'POST /v1/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n',
  )
  return fc.tuple(prefix, fc.uint8Array({ maxLength: 2_000 })).map(([prefix, bytes]) => ({
    bytes: Buffer.concat([Buffer.from(prefix, 'latin1'), bytes]),
    isWhole: false,
    secrets: [],
  }))
}
