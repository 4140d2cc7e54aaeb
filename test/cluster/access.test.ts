import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { startLink } from '../chaos/proxy.js'
import { post } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { seconds, signWithSecret } from '../helpers/issuer.js'
import { type RedisServer, startRedis } from '../helpers/redis.js'
import { openStream, type StreamReader } from '../helpers/sse.js'

// Access on two replicas that share a Redis.

const SECRET = 'a secret of at least thirty-two characters'
const KEY = 'root-key-0123456789'
const AS_SERVER = { authorization: `Bearer ${KEY}` }
const WITHIN_MS = 1_000

interface Pair {
  readonly redis: RedisServer
  readonly a: Gateway
  readonly b: Gateway
}

function envOf(redisUrl: string, env: Record<string, string> = {}) {
  return {
    SSE_ADAPTER: 'redis',
    REDIS_URL: redisUrl,
    JWT_SECRET: SECRET,
    API_KEYS: `root=${KEY}`,
    AUTH_COOKIE: 'session',
    CORS_ORIGINS: 'https://app.example',
    LOG_LEVEL: 'trace',
    DRAIN_WINDOW_MS: '0',
    ...env,
  }
}

async function startPair(t: Test, env: Record<string, string> = {}): Promise<Pair> {
  const redis = await startRedis(t)
  const [a, b] = await Promise.all([
    startGateway(t, envOf(redis.url, env), { until: 'ready' }),
    startGateway(t, envOf(redis.url, env), { until: 'ready' }),
  ])
  return { redis, a, b }
}

async function makeTicket({ url }: Gateway, request: object = { userId: '42' }): Promise<string> {
  const headers = { ...AS_SERVER, 'content-type': 'application/json' }
  const { status, body } = await post(`${url}/v1/tickets`, JSON.stringify(request), headers)
  if (status !== 201) throw new Error(`no ticket: ${JSON.stringify(body)}`)
  return String(body.ticket)
}

async function remove({ url }: Gateway, path: string): Promise<unknown> {
  const response = await fetch(`${url}${path}`, { method: 'DELETE', headers: AS_SERVER })
  return response.json()
}

async function open(t: Test, { url }: Gateway, query: string, lastEventId = ''): Promise<StreamReader> {
  const stream = await openStream(t, `${url}/v1/stream?${query}`, { lastEventId })
  if (stream.status === 200) await stream.next()
  return stream
}

async function reasonOf(stream: StreamReader, ms = WITHIN_MS): Promise<unknown> {
  const { data } = stream.events.find(({ type }) => type === 'stream.close') ?? (await stream.next('stream.close', ms))
  await stream.ended
  return JSON.parse(data).reason
}

const tokenOf = (sub: string, claims: object = {}) => signWithSecret(SECRET, { sub, ...claims })

t.test(
  'revoking a user on one replica ends their streams on both within a second, and refuses them on both',
  async t => {
    const { a, b } = await startPair(t)
    const token = await tokenOf('42', { iat: seconds(-2) })
    const ticket = await makeTicket(a)
    const streams = await Promise.all([
      open(t, a, `token=${token}`),
      open(t, b, `token=${token}`),
      open(t, b, `ticket=${ticket}`),
    ])
    const other = await open(t, b, `token=${await tokenOf('7')}`)
    t.same(await remove(a, '/v1/users/42/connections'), { ended: 3 })
    for (const stream of streams) t.equal(await reasonOf(stream), 'revoked')
    t.notOk(other.destroyed)
    for (const replica of [a, b]) {
      t.equal((await open(t, replica, `token=${token}`)).status, 401)
      t.equal((await open(t, replica, `ticket=${ticket}`)).status, 401)
      t.equal((await open(t, replica, `token=${await tokenOf('42', { iat: seconds(1) })}`)).status, 200)
    }
  },
)

t.test('a replica that starts later refuses what was revoked before', async t => {
  const { redis, a } = await startPair(t)
  const token = await tokenOf('42', { iat: seconds(-2) })
  await remove(a, '/v1/users/42/connections')
  const late = await startGateway(t, envOf(redis.url), { until: 'ready' })
  const isRefused = async () => (await open(t, late, `token=${token}`)).status === 401
  await waitFor(isRefused, WITHIN_MS, 'the revoked token to be refused')
})

t.test('a stream is ended by its id from the other replica', async t => {
  const { a, b } = await startPair(t)
  const stream = await openStream(t, `${b.url}/v1/stream?token=${await tokenOf('42')}`)
  const { connectionId } = JSON.parse((await stream.next('stream.open')).data)
  t.same(await remove(a, `/v1/connections/${connectionId}`), { ended: 1 })
  t.equal(await reasonOf(stream), 'revoked')
  t.same(await remove(a, `/v1/connections/${connectionId}`), { ended: 0 })
})

t.test('a ticket made on A opens on B, reconnects on A, and the second user of it gets `replaced`', async t => {
  const { a, b } = await startPair(t)
  const ticket = await makeTicket(a)
  const first = await open(t, b, `ticket=${ticket}`)
  t.match(first.events[0], { type: 'stream.open', data: /"userId":"42"/ })
  // B cannot know that the link is broken: for B the stream is still open.
  const again = await open(t, a, `ticket=${ticket}`, first.lastEventId)
  t.match(again.events[0], { type: 'stream.open', data: /"resumed":true/ })
  t.equal(await reasonOf(first), 'replaced')
  for (const replica of [a, b]) t.equal(await reasonOf(await open(t, replica, `ticket=${ticket}`)), 'replaced')
  t.notOk(again.destroyed)
  t.same(await remove(b, `/v1/tickets/${ticket}`), { ended: 1 })
  t.equal(await reasonOf(again), 'revoked')
  for (const replica of [a, b]) t.equal((await open(t, replica, `ticket=${ticket}`)).status, 401)
})

t.test('of two that come back with one ticket at the same time one stays', async t => {
  const { a, b } = await startPair(t)
  for (let round = 0; round < 5; round++) {
    const ticket = await makeTicket(a)
    const { lastEventId } = await open(t, a, `ticket=${ticket}`)
    const streams = await Promise.all([a, b, a, b].map(replica => open(t, replica, `ticket=${ticket}`, lastEventId)))
    const alive = () => streams.filter(stream => !stream.raw.includes('stream.close'))
    await waitFor(() => alive().length <= 1, WITHIN_MS, 'all but one to be replaced')
    t.same(await remove(b, `/v1/tickets/${ticket}`), { ended: 1 })
  }
})

t.test(
  'a replica that dies gives its tickets back: EventSource comes back elsewhere, and so does a new page',
  async t => {
    const { a, b } = await startPair(t)
    const [ticket, other] = [await makeTicket(a), await makeTicket(a)]
    const stream = await open(t, b, `ticket=${ticket}`)
    await open(t, b, `ticket=${other}`)
    await b.kill()
    const again = await open(t, a, `ticket=${ticket}`, stream.lastEventId)
    t.match(again.events[0], { type: 'stream.open', data: /"resumed":true/ })
    t.match((await open(t, a, `ticket=${other}`)).events[0], { type: 'stream.open' })
  },
)

t.test('a replica that was cut off from Redis ends, when it is back, what was ended meanwhile', async t => {
  const redis = await startRedis(t)
  const link = await startLink(t, redis.port)
  const near = await startGateway(t, envOf(redis.url), { until: 'ready' })
  const far = await startGateway(t, envOf(`redis://127.0.0.1:${link.port}`), { until: 'ready' })
  const token = await tokenOf('42', { iat: seconds(-2) })
  const tickets = [await makeTicket(near), await makeTicket(near), await makeTicket(near)]
  const byToken = await open(t, far, `token=${token}`)
  const [revoked, replaced, kept] = await Promise.all(tickets.map(ticket => open(t, far, `ticket=${ticket}&rooms=*`)))
  link.set('cut')
  await waitFor(
    async () => (await fetch(`${far.url}/readyz`)).json().then(({ status }) => status === 'degraded'),
    15_000,
    'the cut',
  )
  t.same(await remove(near, '/v1/users/7/connections'), { ended: 0 })
  await remove(near, `/v1/tickets/${tickets[0]}`)
  const taken = await open(t, near, `ticket=${tickets[1]}`, replaced!.lastEventId)
  t.match(taken.events[0], { type: 'stream.open' })
  t.equal(
    await reasonOf(await open(t, far, `ticket=${tickets[2]}`, kept!.lastEventId)),
    'overloaded',
    'nobody can tell now',
  )
  link.set('open')
  t.equal(await reasonOf(revoked!, 15_000), 'revoked')
  t.equal(await reasonOf(replaced!, 15_000), 'replaced')
  t.notOk(kept!.destroyed)
  t.notOk(byToken.destroyed)
  link.set('cut')
  await remove(near, '/v1/users/42/connections')
  link.set('open')
  t.equal(await reasonOf(byToken, 15_000), 'revoked')
  t.equal(await reasonOf(kept!, 15_000), 'revoked')
  t.equal((await open(t, far, `token=${token}`)).status, 401)
})

t.test('a replica that hears no signals ends the streams of a user whom it revokes itself', async t => {
  const { redis, a, b } = await startPair(t)
  const token = await tokenOf('42', { iat: seconds(-2) })
  const streams = [await open(t, a, `token=${token}`), await open(t, b, `token=${token}`)]
  // Commands pass, but subscriptions are refused.
  await redis.command('ACL', 'SETUSER', 'default', '-subscribe')
  await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  t.same(await remove(a, '/v1/users/42/connections'), { ended: 1 }, 'its own')
  t.equal(await reasonOf(streams[0]!), 'revoked')
  await redis.command('ACL', 'SETUSER', 'default', '+subscribe')
  t.equal(await reasonOf(streams[1]!, 15_000), 'revoked', 'that of the other, when it hears again')
})

t.test('a ticket that was revoked while Redis forgot it ends on whichever replica comes back first', async t => {
  const redis = await startRedis(t)
  const link = await startLink(t, redis.port)
  const [near, far] = await Promise.all([
    startGateway(t, envOf(redis.url), { until: 'ready' }),
    startGateway(t, envOf(`redis://127.0.0.1:${link.port}`), { until: 'ready' }),
  ])
  const ticket = await makeTicket(near)
  const stream = await open(t, far, `ticket=${ticket}`)
  link.set('cut')
  const statusOf = async () => ((await (await fetch(`${far.url}/readyz`)).json()) as { status: string }).status
  await waitFor(async () => (await statusOf()) === 'degraded', 15_000, 'the cut')
  await remove(near, `/v1/tickets/${ticket}`)
  near.freeze()
  await redis.command('FLUSHALL')
  link.set('open')
  await waitFor(
    async () => ((await redis.command('KEYS', '*ticket:*')) as unknown[]).length > 0,
    15_000,
    'it to be put back',
  )
  near.thaw()
  t.equal(await reasonOf(stream, 15_000), 'revoked')
})

t.test('a Redis that forgot everything is told again what streams and replicas still know', async t => {
  const { redis, a, b } = await startPair(t)
  const ticket = await makeTicket(a)
  const stream = await open(t, b, `ticket=${ticket}`)
  const token = await tokenOf('7', { iat: seconds(-2) })
  await remove(a, '/v1/users/7/connections')
  await redis.kill()
  await redis.restart()
  const isBack = async () => String(await redis.command('KEYS', '*')).includes('ticket:')
  await waitFor(isBack, 15_000, 'the ticket to be put back')
  t.notOk(stream.destroyed, 'to forget is not to revoke')
  const isTaken = async () => {
    const [first] = (await open(t, a, `ticket=${ticket}`, stream.lastEventId)).events
    // A replica that has no link to Redis yet tells the reader to come back.
    if (first?.type === 'stream.close') t.match(JSON.parse(first.data), { reason: 'overloaded' })
    return first?.type === 'stream.open'
  }
  await waitFor(isTaken, 15_000, 'the ticket to be taken by the other replica')
  const late = await startGateway(t, envOf(redis.url), { until: 'ready' })
  const isRefused = async () => (await open(t, late, `token=${token}`)).status === 401
  await waitFor(isRefused, 5_000, 'what was revoked to be refused by a replica that never heard of it')
})

t.test('request rates are counted over all replicas', async t => {
  const { a, b } = await startPair(t, { RATE_LIMIT_PUBLISH: '4', RATE_LIMIT_CONNECT: '4' })
  const headers = { ...AS_SERVER, 'content-type': 'application/json' }
  const publish = ({ url }: Gateway) => post(`${url}/v1/broadcast`, '{"type":"a"}', headers)
  const answers = await Promise.all([a, b, a, b, a, b, a, b, a, b, a, b, a, b, a, b].map(publish))
  t.ok(answers.filter(({ status }) => status === 202).length <= 12, 'at most three windows of four')
  t.ok(answers.some(({ status }) => status === 429))
  const token = await tokenOf('42')
  const types = []
  for (const replica of [a, b, a, b, a, b, a, b]) types.push((await open(t, replica, `token=${token}`)).events[0]?.type)
  t.same(types.slice(0, 4), ['stream.open', 'stream.open', 'stream.open', 'stream.open'])
  // Each replica alone would let four in. It does not know yet what the other one is just letting in, so one more may pass.
  t.ok(types.slice(4).includes('stream.close'), types.join(' '))
})

t.test(
  'no secret reaches a log line, an answer, a metric or Redis in clear, nor does event data reach a log',
  async t => {
    const { redis, a, b } = await startPair(t)
    const seen = monitor(t, redis.port)
    const token = await tokenOf('42', { tidings: { publish: ['hub'] } })
    const expired = await tokenOf('42', { exp: seconds(-60) })
    const ticket = await makeTicket(a)
    const unknown = 'tkt_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB'
    const data = 'payload-which-nobody-logs'
    const answers: string[] = []
    const ask = async (path: string, init: RequestInit = {}) => {
      for (const { url } of [a, b]) {
        const response = await fetch(`${url}${path}`, { ...init, signal: AbortSignal.timeout(5_000) })
        if (response.headers.get('content-type')?.startsWith('text/event-stream')) await response.body?.cancel()
        else answers.push(await response.text())
      }
    }
    const json = { 'content-type': 'application/json' }
    await ask(`/v1/stream?token=${token}`)
    await ask(`/v1/stream?token=${expired}`)
    await ask(`/v1/stream?token=${token}&rooms=forbidden`)
    await ask(`/v1/stream?ticket=${ticket}`)
    await ask(`/v1/stream?ticket=${unknown}`)
    await ask(`/v1/stream?ticket=${ticket}&rooms=%00`)
    await ask('/v1/stream', { headers: { cookie: `session=${token}` } })
    await ask('/v1/stream', { headers: { cookie: `session=${token}`, origin: 'https://evil.example' } })
    await ask('/v1/broadcast', {
      method: 'POST',
      headers: { ...json, 'x-api-key': KEY },
      body: `{"type":"a","data":"${data}"}`,
    })
    await ask('/v1/rooms/hub/events', {
      method: 'POST',
      headers: { ...json, ...AS_SERVER },
      body: `{"type":"a","data":"${data}`,
    })
    await ask('/v1/rooms/hub/events', {
      method: 'POST',
      headers: { ...json, authorization: `Bearer ${token}` },
      body: '{"type":""}',
    })
    await ask('/v1/rooms/hub/events', {
      method: 'POST',
      headers: { ...json, authorization: `Bearer ${KEY}x` },
      body: '{}',
    })
    await ask(`/v1/tickets/${ticket}`, { method: 'PATCH', headers: AS_SERVER })
    await ask(`/v1/tickets/${ticket}/more`, { method: 'DELETE', headers: AS_SERVER })
    await ask(`/v1/tickets/${ticket}`, { method: 'DELETE', headers: AS_SERVER })
    await ask('/v1/users/42/connections', { method: 'DELETE', headers: AS_SERVER })
    await ask('/metrics')
    await waitFor(() => seen().includes('revoked'), 5_000, 'the monitor to see the last of it')
    await Promise.all([a.stop(), b.stop()])
    const secrets = { token, expired, ticket, unknown, KEY, SECRET, signature: token.split('.')[2]! }
    for (const [name, secret] of Object.entries(secrets)) {
      t.notOk((a.output + b.output).includes(secret), `${name} is in no log`)
      t.notOk(answers.join('\n').includes(secret), `${name} is in no answer`)
      t.notOk(seen().includes(secret), `${name} is not in Redis`)
    }
    t.notOk((a.output + b.output).includes(data), 'event data is in no log')
    t.ok(seen().includes('tidings:{0}:ticket:'), 'the monitor did see tickets')
    t.ok((a.output + b.output).includes('connection opened'), 'the log is there')
  },
)

/** Records every command that this Redis gets from now on. */
function monitor(t: Test, port: number): () => string {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let text = ''
  socket.setEncoding('utf8').on('data', chunk => {
    text += chunk
  })
  socket.write('MONITOR\r\n')
  return () => text
}
