import t from 'tap'
import { startApp } from '../helpers/app.js'
import { signWithSecret } from '../helpers/issuer.js'
import { openStream } from '../helpers/sse.js'

const SECRET = 'a secret of at least thirty-two characters'
const ORIGIN = 'https://app.example'
const OPTIONS = { jwtSecret: SECRET, authCookie: 'session', corsOrigins: [ORIGIN, 'https://other.example'] }

t.test('a preflight of a listed origin is answered, without a credential', async t => {
  const { url } = await startApp(t, OPTIONS)
  for (const path of ['/v1/stream', '/v1/broadcast', '/v1/users/42/events']) {
    const { status, headers } = await fetch(`${url}${path}`, {
      method: 'OPTIONS',
      headers: {
        origin: ORIGIN,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    })
    t.equal(status, 204, path)
    t.equal(headers.get('access-control-allow-origin'), ORIGIN)
    t.equal(headers.get('access-control-allow-credentials'), 'true')
    t.match(headers.get('access-control-allow-headers'), /Authorization.*Last-Event-ID/)
    t.match(headers.get('vary'), /Origin/)
  }
})

t.test('a preflight of any other origin names no origin', async t => {
  const { url } = await startApp(t, OPTIONS)
  for (const origin of ['https://evil.example', 'https://app.example.evil.example', 'http://app.example', 'null']) {
    const headers = { origin, 'access-control-request-method': 'POST' }
    const response = await fetch(`${url}/v1/stream`, { method: 'OPTIONS', headers })
    t.equal(response.headers.get('access-control-allow-origin'), null, origin)
  }
})

t.test('the stream and every refusal carry the headers, so that a page can read them', async t => {
  const { url } = await startApp(t, OPTIONS)
  const cookie = `session=${await signWithSecret(SECRET, { sub: '42' })}`
  const stream = await openStream(t, `${url}/v1/stream`, { headers: { Origin: ORIGIN, Cookie: cookie } })
  t.equal(stream.status, 200)
  t.equal(stream.headers['access-control-allow-origin'], ORIGIN)
  t.equal(stream.headers['access-control-allow-credentials'], 'true')
  t.match(stream.headers.vary, /Origin/)
  for (const [path, headers, status] of [
    ['/v1/stream', {}, 401],
    ['/v1/stream?rooms=hub', { cookie }, 403],
    ['/v1/stream?rooms=%0a', { cookie }, 400],
  ] as const) {
    const response = await fetch(`${url}${path}`, { headers: { origin: ORIGIN, ...headers } })
    t.equal(response.status, status)
    t.equal(response.headers.get('access-control-allow-origin'), ORIGIN)
    await response.body?.cancel()
  }
})

t.test('a stream of an origin that is not listed is refused before it opens', async t => {
  const { app, url } = await startApp(t, OPTIONS)
  const cookie = `session=${await signWithSecret(SECRET, { sub: '42' })}`
  for (const origin of ['https://evil.example', 'https://app.example:444', 'http://app.example', 'null']) {
    const stream = await openStream(t, `${url}/v1/stream`, { headers: { Origin: origin, Cookie: cookie } })
    await stream.ended
    t.equal(stream.status, 403, origin)
    t.match(JSON.parse(stream.raw), {
      code: 'TIDINGS_ORIGIN_FORBIDDEN',
      message: new RegExp(`'${origin}'.*CORS_ORIGINS`),
    })
    t.equal(stream.headers['access-control-allow-origin'], undefined)
  }
  const image = { Cookie: cookie, 'Sec-Fetch-Site': 'cross-site' }
  t.equal(
    (await openStream(t, `${url}/v1/stream`, { headers: image })).status,
    403,
    'an image on a page of another site',
  )
  t.equal(app.tidings.counts.opened, 0)
})

t.test('pages of the gateway itself need no list', async t => {
  const { url } = await startApp(t)
  const own = await openStream(t, `${url}/v1/stream`, { headers: { Origin: url } })
  t.equal(own.status, 200)
  const other = await openStream(t, `${url}/v1/stream`, { headers: { Origin: 'http://127.0.0.1:1' } })
  t.equal(other.status, 403)
})

t.test('a publish with a cookie needs a listed origin; with a token in a header it needs none', async t => {
  const { url } = await startApp(t, OPTIONS)
  const token = await signWithSecret(SECRET, { sub: '42', tidings: { publish: ['hub'] } })
  const publish = async (headers: Record<string, string>) => {
    const body = '{"type":"a"}'
    const init = { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } }
    const response = await fetch(`${url}/v1/rooms/hub/events`, init)
    return [response.status, ((await response.json()) as { code?: string }).code]
  }
  const cookie = `session=${token}`
  t.same(await publish({ cookie, origin: ORIGIN }), [202, undefined])
  t.same(await publish({ cookie, origin: 'https://evil.example' }), [403, 'TIDINGS_ORIGIN_FORBIDDEN'])
  t.same(await publish({ cookie, origin: url }), [403, 'TIDINGS_ORIGIN_FORBIDDEN'])
  t.same(await publish({ cookie }), [403, 'TIDINGS_ORIGIN_FORBIDDEN'])
  t.same(await publish({ authorization: `Bearer ${token}` }), [202, undefined])
})
