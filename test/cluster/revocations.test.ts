import t, { type Test } from 'tap'
import { formatUserKey, userKeyOf } from '../../src/access/revocation-table.js'
import { post } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { fakeClock } from '../helpers/fake-clock.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { seconds, signWithSecret } from '../helpers/issuer.js'
import { startRedis } from '../helpers/redis.js'
import { fillRevocations } from '../helpers/redis-access.js'
import { openStream, type StreamReader } from '../helpers/sse.js'

// A revocation holds on replicas with a wrong clock, on replicas that start, and on a Redis that forgot it.

const SECRET = 'a secret of at least thirty-two characters'
const KEY = 'root-key-0123456789'
const AS_SERVER = { authorization: `Bearer ${KEY}` }
const SET = 'tidings:{0}:revocations'

const envOf = (redisUrl: string) => ({
  SSE_ADAPTER: 'redis',
  REDIS_URL: redisUrl,
  JWT_SECRET: SECRET,
  API_KEYS: `root=${KEY}`,
  DRAIN_WINDOW_MS: '0',
})

const tokenOf = (sub: string, claims: object = {}) => signWithSecret(SECRET, { sub, ...claims })

async function open(t: Test, { url }: Gateway, query: string): Promise<StreamReader> {
  const stream = await openStream(t, `${url}/v1/stream?${query}`)
  if (stream.status === 200) await stream.next()
  return stream
}

const statusOf = async (t: Test, replica: Gateway, query: string) => (await open(t, replica, query)).status

async function revoke({ url }: Gateway, userId: string): Promise<unknown> {
  const response = await fetch(`${url}/v1/users/${userId}/connections`, { method: 'DELETE', headers: AS_SERVER })
  return response.json()
}

async function makeTicket({ url }: Gateway, request: object): Promise<string> {
  const headers = { ...AS_SERVER, 'content-type': 'application/json' }
  const { body } = await post(`${url}/v1/tickets`, JSON.stringify(request), headers)
  return String(body.ticket)
}

async function readiness({ url }: Gateway) {
  const response = await fetch(`${url}/readyz`)
  return { status: response.status, body: (await response.json()) as { status: string; reason: string } }
}

async function reasonOf(stream: StreamReader, ms: number): Promise<unknown> {
  const { data } = stream.events.find(({ type }) => type === 'stream.close') ?? (await stream.next('stream.close', ms))
  return JSON.parse(data).reason
}

const canSkew = fakeClock(0) !== undefined
const skip =
  !canSkew && 'replicas whose clocks differ were NOT tested: install faketime (Debian: apt-get install faketime)'
if (skip !== false) console.error(`# SKIPPED: ${skip}`)

for (const offsetS of [60, -60]) {
  t.test(`a replica whose clock is ${offsetS} s off judges credentials as the others do`, { skip }, async t => {
    const redis = await startRedis(t)
    const env = envOf(redis.url)
    const [right, wrong] = await Promise.all([
      startGateway(t, env, { until: 'ready' }),
      startGateway(t, { ...env, ...fakeClock(offsetS) }, { until: 'ready' }),
    ])
    const skewMs = wrong.logs.map(({ time }) => Number(time) - Date.now()).find(Number.isFinite)!
    t.ok(Math.abs(skewMs) > 50_000, `its clock is ${Math.round(skewMs / 1_000)} s off`)

    const young = await tokenOf('1', { nbf: seconds(-1), exp: seconds(40) })
    for (const replica of [right, wrong])
      t.equal(await statusOf(t, replica, `token=${young}`), 200, 'neither too early nor over')
    for (const exp of [seconds(-6), seconds(-50)]) {
      const old = await tokenOf('1', { exp, iat: exp - 10 })
      for (const replica of [right, wrong]) t.equal(await statusOf(t, replica, `token=${old}`), 401, 'over')
    }
    const ahead = await tokenOf('1', { iat: seconds(30) })
    for (const replica of [right, wrong]) t.equal(await statusOf(t, replica, `token=${ahead}`), 401, 'dated ahead')

    for (const [userId, maker, revoker] of [
      ['2', wrong, right],
      ['3', right, wrong],
    ] as const) {
      const tickets = [await makeTicket(maker, { userId }), await makeTicket(maker, { userId })]
      const token = await tokenOf(userId, { iat: seconds(-2) })
      const streams = [
        await open(t, revoker, `ticket=${tickets[0]}`),
        await open(t, maker, `token=${token}`),
        await open(t, revoker, `token=${token}`),
      ]
      t.same(await revoke(revoker, userId), { ended: 3 })
      for (const stream of streams) t.equal(await reasonOf(stream, 5_000), 'revoked')
      const fresh = await tokenOf(userId, { iat: seconds(1) })
      for (const replica of [right, wrong]) {
        for (const ticket of tickets) t.equal(await statusOf(t, replica, `ticket=${ticket}`), 401)
        t.equal(await statusOf(t, replica, `token=${token}`), 401)
        t.equal(await statusOf(t, replica, `token=${fresh}`), 200, 'what was made since is good')
      }
      const late = await makeTicket(maker, { userId })
      t.equal(await statusOf(t, revoker, `ticket=${late}`), 200)
    }

    const ending = [
      await open(t, wrong, `token=${await tokenOf('4', { exp: seconds(3) })}`),
      await open(t, wrong, `ticket=${await makeTicket(wrong, { userId: '4', ttl: 3 })}`),
    ]
    for (const stream of ending) t.equal(await reasonOf(stream, 15_000), 'expired', 'streams end when they should')
  })
}

t.test('a token shown to one replica before its date does not outlive a revocation on another', async t => {
  const redis = await startRedis(t)
  const [a, b] = await Promise.all([
    startGateway(t, envOf(redis.url), { until: 'ready' }),
    startGateway(t, envOf(redis.url), { until: 'ready' }),
  ])
  const iat = seconds(4)
  const token = await tokenOf('42', { iat })
  const stream = await open(t, a, `token=${token}`)
  t.same(await revoke(b, '42'), { ended: 1 })
  t.equal(await reasonOf(stream, 5_000), 'revoked')
  for (const replica of [a, b]) t.equal(await statusOf(t, replica, `token=${token}`), 401)
  // Also after its date has come, and on a replica that never saw it.
  await waitFor(() => Date.now() > iat * 1_000 + 100, 15_000, 'its date')
  const late = await startGateway(t, envOf(redis.url), { until: 'ready' })
  for (const replica of [a, b, late]) t.equal(await statusOf(t, replica, `token=${token}`), 401)
})

t.test('a replica is not ready, and takes no credential of a user, before it knows what was revoked', async t => {
  const redis = await startRedis(t)
  // A key of another type, which no script can read.
  await redis.command('SET', SET, 'no set')
  const replica = await startGateway(t, envOf(redis.url))
  const isStarting = async () => (await readiness(replica)).body.reason === 'what was revoked is not known yet'
  await waitFor(isStarting, 10_000, 'the bus to be reached')
  t.match(await readiness(replica), { status: 503, body: { status: 'starting' } })
  t.match(await (await fetch(`${replica.url}/metrics`)).text(), /^tidings_ready 0$/m)
  const token = await tokenOf('42')
  t.equal(
    await reasonOf(await open(t, replica, `token=${token}`), 5_000),
    'overloaded',
    'a stream is told to come back',
  )
  const json = { 'content-type': 'application/json' }
  const publish = (authorization: string) =>
    post(`${replica.url}/v1/rooms/hub/events`, '{"type":"a"}', { ...json, authorization })
  t.match(await publish(`Bearer ${await tokenOf('42', { tidings: { publish: ['hub'] } })}`), {
    status: 503,
    body: { code: 'TIDINGS_ACCESS_UNAVAILABLE' },
  })
  t.equal((await publish(AS_SERVER.authorization)).status, 202, "a server's key waits for nothing")
  await redis.command('DEL', SET)
  await waitFor(async () => (await readiness(replica)).status === 200, 10_000, 'the replica to be ready')
  t.equal((await open(t, replica, `token=${token}`)).events[0]!.type, 'stream.open')
})

t.test('a Redis that was emptied under its replicas is told again within seconds', async t => {
  const redis = await startRedis(t)
  const [a, b] = await Promise.all([
    startGateway(t, envOf(redis.url), { until: 'ready' }),
    startGateway(t, envOf(redis.url), { until: 'ready' }),
  ])
  const token = await tokenOf('42', { iat: seconds(-2) })
  await revoke(a, '42')
  await redis.command('FLUSHALL')
  const user = formatUserKey(userKeyOf('42'))
  await waitFor(async () => (await redis.command('ZSCORE', SET, user)) !== null, 10_000, 'it to be put back')
  const late = await startGateway(t, envOf(redis.url), { until: 'ready' })
  for (const replica of [a, b, late]) t.equal(await statusOf(t, replica, `token=${token}`), 401)
})

t.test('a replica that read an emptied Redis learns what others put back', async t => {
  const redis = await startRedis(t)
  const a = await startGateway(t, envOf(redis.url), { until: 'ready' })
  const token = await tokenOf('42', { iat: seconds(-2) })
  await revoke(a, '42')
  a.freeze()
  await redis.command('FLUSHALL')
  const late = await startGateway(t, envOf(redis.url), { until: 'ready' })
  t.equal(await statusOf(t, late, `token=${token}`), 200, 'nobody could know')
  a.thaw()
  await waitFor(async () => (await statusOf(t, late, `token=${token}`)) === 401, 15_000, 'it to be refused')
})

t.test('a million revoked users: a replica is ready at once, and knows each of them from then on', async t => {
  const redis = await startRedis(t)
  const timed = async () => {
    const startedAt = performance.now()
    const replica = await startGateway(t, envOf(redis.url), { until: 'ready', timeoutMs: 60_000 })
    const ms = performance.now() - startedAt
    return { replica, ms }
  }
  const empty = await timed()
  await empty.replica.stop()
  await fillRevocations(redis, SET, 1_000_000, Date.now() - 86_400_000)
  // Replicas read this revocation last.
  await redis.command('ZADD', SET, `${Date.now()}`, formatUserKey(userKeyOf('7')))
  await redis.command('CONFIG', 'RESETSTAT')
  const pagesRead = async () =>
    Number(/cmdstat_zrange:calls=(\d+)/.exec(String(await redis.command('INFO', 'commandstats')))?.[1] ?? 0)
  const full = await timed()
  t.comment(`empty ${Math.round(empty.ms)} ms, a million ${Math.round(full.ms)} ms`)
  const early = await pagesRead()
  t.ok(early < 200, `it does not wait for all of them: ${early} pages were read`)
  t.equal(await statusOf(t, full.replica, `token=${await tokenOf('7', { iat: seconds(-60) })}`), 401)
  await waitFor(async () => (await pagesRead()) >= 201, 60_000, 'all of them to be read, five thousand at a time')
  const token = await tokenOf('42', { iat: seconds(-2) })
  t.equal(await statusOf(t, full.replica, `token=${token}`), 200)
  await revoke(full.replica, '42')
  t.equal(await statusOf(t, full.replica, `token=${token}`), 401)
})
