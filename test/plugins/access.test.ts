import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { type TidingsOptions, tidings } from '../../src/app.js'
import { listen, post, startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { seconds, signWithSecret } from '../helpers/issuer.js'
import { openStream, type StreamReader } from '../helpers/sse.js'

const SECRET = 'a secret of at least thirty-two characters'
const KEY = 'root-key-0123456789'
const OPTIONS = { jwtSecret: SECRET, apiKeys: `root=${KEY}` }
const AS_SERVER = { authorization: `Bearer ${KEY}` }

async function makeTicket(url: string, request: object): Promise<string> {
  const headers = { ...AS_SERVER, 'content-type': 'application/json' }
  const { status, body } = await post(`${url}/v1/tickets`, JSON.stringify(request), headers)
  if (status !== 201) throw new Error(`no ticket: ${JSON.stringify(body)}`)
  return String(body.ticket)
}

async function remove(url: string, path: string): Promise<unknown> {
  const response = await fetch(`${url}${path}`, { method: 'DELETE', headers: AS_SERVER })
  return response.json()
}

const withTicket = (t: Test, url: string, ticket: string, lastEventId = '') =>
  openStream(t, `${url}/v1/stream?ticket=${ticket}`, { lastEventId })

/** The data of the `stream.close` that ends the stream. */
async function closeOf(stream: StreamReader): Promise<Record<string, unknown>> {
  const { data } = await stream.next('stream.close')
  await stream.ended
  return JSON.parse(data)
}

t.test('a ticket opens the stream of its user, and again when EventSource comes back', async t => {
  const { url } = await startApp(t, OPTIONS)
  const ticket = await makeTicket(url, { userId: '42', follow: ['session:abc'] })
  const first = await withTicket(t, url, ticket)
  t.match(JSON.parse((await first.next('stream.open')).data), { userId: '42', resumed: null })
  t.equal(first.headers['referrer-policy'], 'no-referrer')
  t.equal(first.headers['cache-control'], 'no-cache, no-store, no-transform')
  first.reset()
  const second = await withTicket(t, url, ticket, first.lastEventId)
  t.match(JSON.parse((await second.next('stream.open')).data), { userId: '42', resumed: true })
})

t.test(
  'an EventSource that comes back replaces its own stream, which may be broken without anybody knowing',
  async t => {
    const { url } = await startApp(t, OPTIONS)
    const ticket = await makeTicket(url, { userId: '42' })
    const first = await withTicket(t, url, ticket)
    await first.next('stream.open')
    const second = await withTicket(t, url, ticket, first.lastEventId)
    await second.next('stream.open')
    t.match(await closeOf(first), { reason: 'replaced', reconnect: false })
    t.notOk(second.destroyed)
  },
)

t.test('the second user of a ticket gets `replaced`, and the first one keeps its stream', async t => {
  const { url } = await startApp(t, OPTIONS)
  const ticket = await makeTicket(url, { userId: '42' })
  const first = await withTicket(t, url, ticket)
  await first.next('stream.open')
  const second = await withTicket(t, url, ticket)
  t.equal(second.status, 200)
  t.match(await closeOf(second), { reason: 'replaced', reconnect: false })
  t.notOk(second.raw.includes('stream.open'), 'it saw nothing of the stream')
  t.ok((second.retryMs ?? 0) >= 30_000, 'an EventSource that comes back all the same does so rarely')
  await post(`${url}/v1/users/42/events`, '{"type":"tick"}', { ...AS_SERVER, 'content-type': 'application/json' })
  await first.next('tick')
})

t.test('a revoked ticket ends its stream and is refused from then on', async t => {
  const { url } = await startApp(t, OPTIONS)
  const ticket = await makeTicket(url, { userId: '42' })
  const stream = await withTicket(t, url, ticket)
  await stream.next('stream.open')
  t.same(await remove(url, `/v1/tickets/${ticket}`), { ended: 1 })
  t.match(await closeOf(stream), { reason: 'revoked', reconnect: false })
  t.equal((await withTicket(t, url, ticket, stream.lastEventId)).status, 401)
  t.same(await remove(url, `/v1/tickets/${ticket}`), { ended: 0 })
})

t.test('a ticket whose session is over ends its stream with `expired` and is refused', async t => {
  const { url } = await startApp(t, OPTIONS)
  const ticket = await makeTicket(url, { userId: '42', ttl: 2 })
  const stream = await withTicket(t, url, ticket)
  t.match(JSON.parse((await stream.next('stream.expiring')).data), { expiresAt: Number, inMs: Number })
  t.match(await closeOf(stream), { reason: 'expired', reconnect: false })
  t.equal((await withTicket(t, url, ticket, stream.lastEventId)).status, 401)
})

t.test('a stream says a minute before that its token ends, once, and ends with it', async t => {
  const { url } = await startApp(t, OPTIONS)
  const exp = seconds(3)
  const later = seconds(120)
  const open = async (exp: number) => {
    const token = await signWithSecret(SECRET, { sub: '42', exp })
    const stream = await openStream(t, `${url}/v1/stream?token=${token}`)
    await stream.next('stream.open')
    return stream
  }
  const [ending, going] = [await open(exp), await open(later)]
  t.match(JSON.parse((await ending.next('stream.expiring')).data), { expiresAt: exp * 1_000 })
  t.match(await closeOf(ending), { reason: 'expired' })
  t.ok(Date.now() >= exp * 1_000, 'not before its time')
  t.ok(Date.now() < exp * 1_000 + 2_000, 'and not long after it')
  t.equal(ending.events.filter(({ type }) => type === 'stream.expiring').length, 1)
  t.notOk(going.raw.includes('stream.expiring'))
})

t.test("a user's access can be ended: every stream ends, and what was made before is refused", async t => {
  const { url } = await startApp(t, OPTIONS)
  const token = await signWithSecret(SECRET, { sub: '42', iat: seconds(-1) })
  const unused = await makeTicket(url, { userId: '42' })
  const streams = [
    await openStream(t, `${url}/v1/stream?token=${token}`),
    await withTicket(t, url, await makeTicket(url, { userId: '42' })),
    await openStream(t, `${url}/v1/stream?user=42`, { headers: AS_SERVER }),
  ]
  const other = await openStream(t, `${url}/v1/stream?token=${await signWithSecret(SECRET, { sub: '7' })}`)
  for (const stream of [...streams, other]) await stream.next('stream.open')
  t.same(await remove(url, '/v1/users/42/connections'), { ended: 3 })
  for (const stream of streams) t.match(await closeOf(stream), { reason: 'revoked', reconnect: false })
  t.notOk(other.destroyed)
  t.equal((await openStream(t, `${url}/v1/stream?token=${token}`)).status, 401)
  t.equal((await withTicket(t, url, unused)).status, 401)
  const silentAboutWhen = await signWithSecret(SECRET, { sub: '42', iat: undefined })
  t.equal((await openStream(t, `${url}/v1/stream?token=${silentAboutWhen}`)).status, 401)
  const fresh = await signWithSecret(SECRET, { sub: '42', iat: seconds(1) })
  t.equal((await openStream(t, `${url}/v1/stream?token=${fresh}`)).status, 200)
})

t.test('one stream can be ended by its id; its credential stays good', async t => {
  const { url } = await startApp(t, OPTIONS)
  const token = await signWithSecret(SECRET, { sub: '42' })
  const [one, other] = [
    await openStream(t, `${url}/v1/stream?token=${token}`),
    await openStream(t, `${url}/v1/stream?token=${token}`),
  ]
  const { connectionId } = JSON.parse((await one.next('stream.open')).data)
  await other.next('stream.open')
  t.same(await remove(url, `/v1/connections/${connectionId}`), { ended: 1 })
  t.match(await closeOf(one), { reason: 'revoked' })
  t.notOk(other.destroyed)
  t.same(await remove(url, `/v1/connections/${connectionId}`), { ended: 0 })
  t.equal((await openStream(t, `${url}/v1/stream?token=${token}`)).status, 200)
})

const statusOf = async (t: Test, url: string, token: string) => {
  const stream = await openStream(t, `${url}/v1/stream?token=${token}`)
  if (stream.status !== 200) await stream.ended
  return { status: stream.status, message: stream.status === 200 ? '' : String(JSON.parse(stream.raw).message), stream }
}

t.test('a token dated ahead of the clock, or in ms, is refused, and the reason says what to check', async t => {
  const { url } = await startApp(t, OPTIONS)
  for (const iat of [seconds(60), seconds(86_400), Date.now(), 1e300]) {
    const { status, message } = await statusOf(t, url, await signWithSecret(SECRET, { sub: '42', iat }))
    t.equal(status, 401)
    t.match(message, /iat is ahead of the clock.*seconds, not in ms/)
  }
})

t.test('a token whose issuer is some seconds ahead does not outlive a revocation', async t => {
  const { url } = await startApp(t, OPTIONS)
  const token = await signWithSecret(SECRET, { sub: '42', iat: seconds(4) })
  const { stream } = await statusOf(t, url, token)
  await stream.next('stream.open')
  t.same(await remove(url, '/v1/users/42/connections'), { ended: 1 })
  t.match(await closeOf(stream), { reason: 'revoked' })
  t.match(await statusOf(t, url, token), { status: 401, message: /revoked/ })
  // 32 bytes in base64url leave two unused bits in the last character.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(token.at(-1)!)
  for (const bits of [1, 2, 3]) {
    const rewritten = `${token.slice(0, -1)}${alphabet[last ^ bits]}`
    t.equal(
      (await statusOf(t, url, rewritten)).status,
      401,
      'nor does the same token with its signature written otherwise',
    )
  }
})

t.test('a token that was refused for its date does not outlive a revocation when its date has come', async t => {
  const { url } = await startApp(t, OPTIONS)
  const iat = seconds(7)
  const token = await signWithSecret(SECRET, { sub: '42', iat })
  t.match(await statusOf(t, url, token), { status: 401, message: /iat is ahead/ })
  t.same(await remove(url, '/v1/users/42/connections'), { ended: 0 })
  const isOfAge = async () => {
    const { status, message } = await statusOf(t, url, token)
    return !message.includes('iat is ahead') && `${status} ${message}`
  }
  t.match(await waitFor(isOfAge, 15_000, 'its date'), /^401 .*revoked/)
  const other = await signWithSecret(SECRET, { sub: '42', iat: seconds(1) })
  t.equal((await statusOf(t, url, other)).status, 200, 'one that nobody has shown before counts by its date')
})

t.test('a token that lives longer than TOKEN_MAX_LIFE_MS is refused by that name', async t => {
  const { url } = await startApp(t, { ...OPTIONS, tokenMaxLifeMs: 90_000_000 })
  const open = async (exp: number) => statusOf(t, url, await signWithSecret(SECRET, { sub: '42', exp }))
  t.equal((await open(seconds(89_000))).status, 200)
  t.match(await open(seconds(91_000)), { status: 401, message: /longer than 90000000 ms \(TOKEN_MAX_LIFE_MS\)/ })
})

t.test('an empty or made-up Last-Event-ID is no sign of coming back: it takes no stream over', async t => {
  const { url } = await startApp(t, OPTIONS)
  const ticket = await makeTicket(url, { userId: '42' })
  const first = await withTicket(t, url, ticket)
  await first.next('stream.open')
  for (const [query, headers] of [
    ['', { 'Last-Event-ID': '' }],
    ['&last_event_id=', {}],
    ['', { 'Last-Event-ID': 'made up' }],
  ] as const) {
    const second = await openStream(t, `${url}/v1/stream?ticket=${ticket}${query}`, { headers })
    t.match(await closeOf(second), { reason: 'replaced' })
  }
  t.notOk(first.raw.includes('stream.close'))
  const again = await openStream(t, `${url}/v1/stream?ticket=${ticket}&last_event_id=${first.lastEventId}`)
  t.ok(await again.next('stream.open'), 'a position does, wherever it stands')
  t.match(await closeOf(first), { reason: 'replaced' })
})

t.test('what cannot be a ticket is neither revoked nor looked for, and not quoted', async t => {
  const { url } = await startApp(t, OPTIONS)
  for (const text of ['anything', 'tkt_short', `tkt_${'A'.repeat(44)}`, `xxx_${'A'.repeat(43)}`]) {
    const answer = (await remove(url, `/v1/tickets/${text}`)) as { code: string; message: string }
    t.match(answer, { statusCode: 400, code: 'TIDINGS_INVALID_TICKET' })
    t.notOk(answer.message.includes(text))
    t.equal((await withTicket(t, url, text)).status, 401)
  }
  t.same(await remove(url, `/v1/tickets/tkt_${'A'.repeat(43)}`), { ended: 0 })
})

t.test("an application's viewer dated ahead counts as made when it was first seen", async t => {
  const app = Fastify()
  const issuedAt = Date.now() + 600_000
  await app.register(tidings, {
    authenticate: ({ headers }) => ({
      userId: String(headers['x-user']),
      kind: headers['x-user'] === 'root' ? 'server' : 'user',
      publish: ['*'],
      issuedAt,
    }),
  })
  const { url } = await listen(t, app)
  const open = () => openStream(t, `${url}/v1/stream`, { headers: { 'x-user': '42' } })
  const stream = await open()
  await stream.next('stream.open')
  const response = await fetch(`${url}/v1/users/42/connections`, { method: 'DELETE', headers: { 'x-user': 'root' } })
  t.same(await response.json(), { ended: 1 })
  t.match(await closeOf(stream), { reason: 'revoked' })
  t.equal((await open()).status, 401)
})

t.test('an application says who is behind a request, and narrows what they may do', async t => {
  const app = Fastify()
  const options: TidingsOptions = {
    authenticate: request => {
      const userId = request.headers['x-user']
      return typeof userId === 'string'
        ? { userId, follow: ['*'], publish: ['*'], expiresAt: Date.now() + 600_000 }
        : null
    },
    authorize: async (viewer, action, room) => room === `${action}:${viewer.userId}`,
  }
  await app.register(tidings, options)
  app.get('/own', async () => ({ isMine: true }))
  const { url } = await listen(t, app)
  const as = { 'x-user': '42', 'content-type': 'application/json' }
  const follow = async (room: string) => (await openStream(t, `${url}/v1/stream?rooms=${room}`, { headers: as })).status
  const publish = async (room: string) => (await post(`${url}/v1/rooms/${room}/events`, '{"type":"a"}', as)).status
  t.same(await Promise.all(['follow:42', 'publish:42', 'hub'].map(follow)), [200, 403, 403])
  t.same(await Promise.all(['follow:42', 'publish:42', 'hub'].map(publish)), [403, 202, 403])
  t.equal((await openStream(t, `${url}/v1/stream`)).status, 401)
  t.equal((await fetch(`${url}/own`)).status, 200, "the application's own routes are its own business")
})

t.test('an application that throws or answers nonsense opens nothing', async t => {
  for (const [authenticate, status] of [
    [
      () => {
        throw new Error('database password is hunter2')
      },
      500,
    ],
    [() => ({ userId: 'a b' }), 400],
    [async () => null, 401],
  ] as const) {
    const app = Fastify()
    await app.register(tidings, { authenticate: authenticate as NonNullable<TidingsOptions['authenticate']> })
    const { url } = await listen(t, app)
    const response = await fetch(`${url}/v1/stream`)
    t.equal(response.status, status)
    t.notMatch(await response.text(), /hunter2/)
  }
})

t.test('without credentials only connections to this machine are served, wherever the application listens', async t => {
  const app = Fastify()
  // Only the socket's local address is faked, as if the connection came from outside.
  app.addHook('onRequest', async request => {
    const localAddress = request.headers['x-arrived-at']
    if (localAddress !== undefined) Object.defineProperty(request.raw.socket, 'localAddress', { value: localAddress })
  })
  await app.register(tidings, {})
  const { url } = await listen(t, app)
  const arriveAt = (address: string) =>
    post(`${url}/v1/broadcast`, '{"type":"a"}', {
      'content-type': 'application/json',
      'x-arrived-at': address,
      connection: 'close',
    })
  for (const address of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1']) {
    t.equal((await arriveAt(address)).status, 202, address)
  }
  for (const address of ['192.0.2.7', '::ffff:192.0.2.7', '2001:db8::7', '0.0.0.0']) {
    t.match(await arriveAt(address), { status: 403, body: { code: 'TIDINGS_OPEN_TO_LOOPBACK' } }, address)
  }
})
