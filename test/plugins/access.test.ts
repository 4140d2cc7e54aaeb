import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { type TidingsOptions, tidings } from '../../src/app.js'
import { listen, post, startApp } from '../helpers/app.js'
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

/** What the server said before it ended the stream. */
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
  // What the socket of a connection from outside says; the rest is real.
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
