import t from 'tap'
import { post, startApp } from '../helpers/app.js'
import { openStream } from '../helpers/sse.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const NDJSON_TYPE = { 'content-type': 'application/x-ndjson' }

t.test('each door publishes to its room and answers 202 with id, room and time', async t => {
  const { url } = await startApp(t)
  const stream = await openStream(t, `${url}/v1/stream?user=42&rooms=session:abc`)
  await stream.next('stream.open')
  const doors = [
    ['/v1/users/42/events', 'user:42'],
    ['/v1/broadcast', '*'],
    ['/v1/rooms/session:abc/events', 'session:abc'],
    ['/v1/rooms/user:42/events', 'user:42'],
    ['/v1/rooms/*/events', '*'],
  ]
  for (const [path, room] of doors) {
    const { status, body } = await post(`${url}${path}`, '{"type":"tick","data":{"n":1.0}}')
    t.equal(status, 202)
    t.match(body, { id: /^[a-z0-9]{1,16}-\d+$/, room, at: Number })
    t.same(Object.keys(body), ['id', 'room', 'at'])
    t.same(await stream.next(), { id: body.id, type: 'tick', data: '{"n":1.0}' })
  }
})

t.test('a batch is published in order, as an array or as NDJSON, and each item goes where it says', async t => {
  const { url } = await startApp(t)
  const stream = await openStream(t, `${url}/v1/stream?user=42&rooms=hub`)
  await stream.next('stream.open')
  const items = ['{"to":"user:42","type":"a","data":1}', '{"to":"hub","type":"b"}', '{"to":"*","type":"c","data":"x"}']
  const array = await post(`${url}/v1/events`, `[${items.join(',')}]`)
  const lines = await post(`${url}/v1/events`, `${items.join('\r\n')}\n\n`, NDJSON_TYPE)
  for (const { status, body } of [array, lines]) {
    t.equal(status, 202)
    t.match(body, { events: [{ room: 'user:42' }, { room: 'hub' }, { room: '*' }] })
  }
  for (const expected of ['a1', 'bnull', 'cx', 'a1', 'bnull', 'cx']) {
    const { type, data } = await stream.next()
    t.equal(type + data, expected)
  }
})

t.test('the same key answers the first id and publishes once, from the body or the header', async t => {
  const { url } = await startApp(t)
  const first = await post(`${url}/v1/rooms/hub/events`, '{"type":"tick","key":"k"}')
  const header = { ...JSON_TYPE, 'idempotency-key': 'k' }
  const again = await post(`${url}/v1/rooms/hub/events`, '{"type":"tick"}', header)
  t.same(again.body, { ...first.body, duplicate: true })
  t.equal(again.status, 202)
  const batch = '[{"to":"hub","type":"a"},{"to":"hub","type":"b","key":"own"}]'
  const one = await post(`${url}/v1/events`, batch, { ...JSON_TYPE, 'idempotency-key': 'batch' })
  const two = await post(`${url}/v1/events`, batch, { ...JSON_TYPE, 'idempotency-key': 'batch' })
  t.match(two.body.events, [{ duplicate: true }, { duplicate: true }])
  t.same(
    two.body.events,
    (one.body.events as object[]).map(event => ({ ...event, duplicate: true })),
  )
})

t.test('the longest room, user, type and key are taken, percent-encoded or not', async t => {
  const { url } = await startApp(t)
  const type = '\u{1F600}'.repeat(64)
  const body = JSON.stringify({ type, key: 'k'.repeat(200) })
  t.equal((await post(`${url}/v1/rooms/${'a'.repeat(200)}/events`, body)).status, 202)
  t.equal((await post(`${url}/v1/users/${'%41'.repeat(195)}/events`, '{"type":"x"}')).status, 202)
  t.equal((await post(`${url}/v1/rooms/a%2Fb/events`, '{"type":"x"}')).body.room, 'a/b')
})

const EVENT = '{"type":"x"}'
/** One bad request per row: the mistake, path, body, and the answer's status, code and part of its message; last the content type. */
const REFUSED: [what: string, path: string, body: string, status: number, code: string, says: RegExp, type?: object][] =
  [
    ['no JSON', '/v1/broadcast', '{"type": x}', 400, 'INVALID_BODY', /the body: it is not valid JSON/],
    ['an empty body', '/v1/broadcast', '', 400, 'INVALID_BODY', /the body: it is empty/],
    ['an array', '/v1/broadcast', '[1]', 400, 'INVALID_BODY', /must be a JSON object/],
    ['null', '/v1/broadcast', 'null', 400, 'INVALID_BODY', /must be a JSON object/],
    [
      'an unknown member',
      '/v1/broadcast',
      '{"type":"x","dta":1}',
      400,
      'INVALID_BODY',
      /'dta'; allowed are type, data/,
    ],
    ['__proto__', '/v1/broadcast', '{"type":"x","__proto__":{}}', 400, 'INVALID_BODY', /unknown member '__proto__'/],
    ['a missing type', '/v1/broadcast', '{"data":1}', 400, 'INVALID_BODY', /'type' must be a string of 1-128/],
    ['a type that is no string', '/v1/broadcast', '{"type":7}', 400, 'INVALID_BODY', /'type' must be a string/],
    ['an empty type', '/v1/broadcast', '{"type":""}', 400, 'INVALID_TYPE', /must be 1-128 characters/],
    [
      'an over-long type',
      '/v1/broadcast',
      `{"type":"${'x'.repeat(129)}"}`,
      400,
      'INVALID_TYPE',
      /must be 1-128 characters/,
    ],
    ['a line feed in a type', '/v1/broadcast', '{"type":"a\\nb"}', 400, 'INVALID_TYPE', /'a\\nb' .* without control/],
    ['a return in a type', '/v1/broadcast', '{"type":"a\\rb"}', 400, 'INVALID_TYPE', /without control characters/],
    ['a NUL in a type', '/v1/broadcast', '{"type":"a\\u0000"}', 400, 'INVALID_TYPE', /without control characters/],
    ['half a character', '/v1/broadcast', '{"type":"\\ud800"}', 400, 'INVALID_TYPE', /type/],
    [
      'a reserved type',
      '/v1/broadcast',
      '{"type":"stream.open"}',
      400,
      'INVALID_TYPE',
      /must not start with 'stream\.'/,
    ],
    ['a bad key', '/v1/broadcast', '{"type":"x","key":"\u00e9"}', 400, 'INVALID_KEY', /1-200 printable ASCII/],
    ['a key that is no string', '/v1/broadcast', '{"type":"x","key":1}', 400, 'INVALID_BODY', /'key' must be a string/],
    ['ephemeral: 1', '/v1/broadcast', '{"type":"x","ephemeral":1}', 400, 'INVALID_BODY', /'ephemeral' must be true or/],
    ['a bad room', '/v1/rooms/a%20b/events', EVENT, 400, 'INVALID_ROOM', /'a b' in .* must be 1-200 characters of A-Z/],
    ['a long room', `/v1/rooms/${'a'.repeat(201)}/events`, EVENT, 400, 'INVALID_ROOM', /must be 1-200 characters/],
    ['a far too long room', `/v1/rooms/${'a'.repeat(999)}/events`, EVENT, 414, 'INVALID_REQUEST', /1-200 characters/],
    ['the room of no user', '/v1/rooms/user:/events', EVENT, 400, 'INVALID_ROOM', /'user:'/],
    ['a bad user', '/v1/users/a%0ab/events', EVENT, 400, 'INVALID_USER', /'a\\nb' in the path must be 1-195/],
    ['a path that is no URL', '/v1/rooms/%zz/events', EVENT, 400, 'INVALID_REQUEST', /not a valid url component/],
    ['an unknown route', '/v1/brodcast', EVENT, 404, 'NOT_FOUND', /POST \/v1\/brodcast; see \/docs/],
    [
      'text/plain',
      '/v1/broadcast',
      'x',
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      /'text\/plain' but must be application\/json/,
      { 'content-type': 'text/plain' },
    ],
    [
      'NDJSON where one event goes',
      '/v1/broadcast',
      EVENT,
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      /x-ndjson on \/v1\/events/,
      NDJSON_TYPE,
    ],
    [
      '65,537 bytes of data',
      '/v1/broadcast',
      `{"type":"x","data":"${'x'.repeat(65_535)}"}`,
      413,
      'EVENT_TOO_LARGE',
      /has 65537 bytes but at most 65536 .*MAX_EVENT_BYTES/,
    ],
    [
      'bytes, not characters',
      '/v1/broadcast',
      `{"type":"x","data":"${'\u6f22'.repeat(21_845)}"}`,
      413,
      'EVENT_TOO_LARGE',
      /has 65537 bytes/,
    ],
    [
      'a body beyond all',
      '/v1/broadcast',
      `{"type":"x","data":"${'x'.repeat(99_999)}"}`,
      413,
      'BODY_TOO_LARGE',
      /over 69632 bytes.*MAX_EVENT_BYTES/,
    ],
    ['an empty batch', '/v1/events', '[]', 400, 'INVALID_BODY', /holds no events; send at least one/],
    ['an object as a batch', '/v1/events', EVENT, 400, 'INVALID_BODY', /must be a JSON array of events/],
    [
      'an item without to',
      '/v1/events',
      `[${EVENT}]`,
      400,
      'INVALID_BODY',
      /^item 1: 'to' must be a string: user:<id>, a room/,
    ],
    ['an item that is no object', '/v1/events', '[1]', 400, 'INVALID_BODY', /^item 1: it must be a JSON object/],
    [
      '1,001 items',
      '/v1/events',
      `[${'0,'.repeat(1_000)}0]`,
      413,
      'BATCH_TOO_LARGE',
      /1001 events but at most 1000 .*nothing of it was published/,
    ],
    [
      '1,001 lines',
      '/v1/events',
      '{"to":"a","type":"x"}\n'.repeat(1_001),
      413,
      'BATCH_TOO_LARGE',
      /1001 events/,
      NDJSON_TYPE,
    ],
    ['blank lines only', '/v1/events', '\n\r\n  \n', 400, 'INVALID_BODY', /holds no events/, NDJSON_TYPE],
  ]

t.test('bad input is refused with a code and a message that says how to mend it, and the gateway goes on', async t => {
  const { url } = await startApp(t)
  const stream = await openStream(t, `${url}/v1/stream?user=42`)
  await stream.next('stream.open')
  for (const [what, path, text, status, code, says, type] of REFUSED) {
    const { body, status: answered } = await post(`${url}${path}`, text, { ...JSON_TYPE, ...type })
    t.match(
      { answered, ...body },
      { answered: status, statusCode: status, code: `TIDINGS_${code}`, message: says },
      what,
    )
    t.same(Object.keys(body), ['statusCode', 'code', 'error', 'message'], `${what}: in Fastify's shape`)
  }
  await post(`${url}/v1/broadcast`, '{"type":"after","data":1}')
  t.match(await stream.next(), { type: 'after', data: '1' }, 'nothing of all that was published')
})

t.test('one bad line among 1,000 names its line, and nothing of the batch is published', async t => {
  const { url } = await startApp(t)
  const stream = await openStream(t, `${url}/v1/stream?rooms=hub`)
  await stream.next('stream.open')
  const lines = Array.from({ length: 1_000 }, (_, n) => `{"to":"hub","type":"tick","data":${n}}`)
  const broken = lines.with(617, '{"to":"hub","type":"a\\nb"}')
  const ndjson = await post(`${url}/v1/events`, broken.join('\n'), NDJSON_TYPE)
  t.match(ndjson, { status: 400, body: { code: 'TIDINGS_INVALID_TYPE' } })
  t.match(ndjson.body.message, /^line 618: type 'a\\nb' .*; nothing of this batch was published$/)
  const array = await post(`${url}/v1/events`, `[${broken.join(',')}]`)
  t.match(array.body.message, /^item 618: .*; nothing of this batch was published$/)
  const halfJson = await post(`${url}/v1/events`, lines.with(2, '{"to":').join('\n'), NDJSON_TYPE)
  t.match(halfJson.body.message, /^line 3: it is not valid JSON.*; nothing of this batch was published$/)
  t.equal((await post(`${url}/v1/events`, lines.join('\n'), NDJSON_TYPE)).status, 202)
  t.equal((await stream.next()).data, '0', 'the first event is that of the whole batch')
})

t.test('a message never quotes event data', async t => {
  const { url } = await startApp(t)
  for (const body of [
    '{"type":"x","data":"s3cret" x}',
    's3cret',
    '["s3cret"]',
    '{"type":"x","data":"s3cret","key":1}',
  ]) {
    t.notMatch(JSON.stringify((await post(`${url}/v1/broadcast`, body)).body), /s3cret/)
  }
})

t.test('a closed gateway answers 503 with Retry-After', async t => {
  const { app, url } = await startApp(t)
  app.tidings.publishDrafts = () =>
    Promise.reject(Object.assign(new Error('away'), { code: 'TIDINGS_CLOSED', statusCode: 503 }))
  const { status, headers, body } = await post(`${url}/v1/broadcast`, EVENT)
  t.equal(status, 503)
  t.equal(headers.get('retry-after'), '1')
  t.equal(body.code, 'TIDINGS_CLOSED')
})

t.test('an unexpected error is a 500 that says nothing internal', async t => {
  const { app, url } = await startApp(t)
  app.tidings.publishDrafts = () => Promise.reject(new Error('password=hunter2'))
  const { status, body } = await post(`${url}/v1/broadcast`, EVENT)
  t.equal(status, 500)
  t.same(body, {
    statusCode: 500,
    code: 'TIDINGS_INTERNAL',
    error: 'Internal Server Error',
    message: 'something went wrong on the server',
  })
})
