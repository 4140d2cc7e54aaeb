import t, { type Test } from 'tap'
import { formatCursor } from '../../src/cursor.js'
import { createEmitter } from '../../src/emitter.js'
import { startLink } from '../chaos/proxy.js'
import { post } from '../helpers/app.js'
import { draft, listenTo, payloads, publishOne, readAll } from '../helpers/bus.js'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'
import { createRedisBus } from '../helpers/redis-bus.js'
import { startSentinel } from '../helpers/sentinel.js'
import { openStream } from '../helpers/sse.js'

const FOLLOWED = ['room', 'quiet']

/** Starts a primary and its replica. The bus reaches the one that the link points to. */
async function startPair(t: Test) {
  const primary = await startRedis(t)
  const replica = await startRedis(t, { replicaOf: primary.port })
  const inSync = async () => String(await replica.command('INFO', 'replication')).includes('master_link_status:up')
  await waitFor(inSync, 10_000, 'the replica to follow')
  let link = await startLink(t, primary.port)
  const { bus } = createRedisBus(`redis://127.0.0.1:${link.port}`)
  const heard = await listenTo(t, bus, FOLLOWED)
  const hasAll = async () => {
    const offset = async (server: typeof primary, name: string) =>
      new RegExp(`${name}:(\\d+)`).exec(String(await server.command('INFO', 'replication')))?.[1]
    return (await offset(primary, 'master_repl_offset')) === (await offset(replica, 'slave_repl_offset'))
  }
  return {
    primary,
    replica,
    bus,
    heard,
    replicated: () => waitFor(hasAll, 10_000, 'the replica to have everything'),
    /** Makes the replica a primary, which hears nothing more from the old one. */
    promote: () => replica.command('REPLICAOF', 'NO', 'ONE'),
    switchOver: async () => {
      const { port } = link
      await link.close()
      link = await startLink(t, replica.port, port)
    },
  }
}

async function rollBack(t: Test) {
  const pair = await startPair(t)
  const { bus, heard } = pair
  const start = bus.position!
  for (let n = 1; n <= 5; n++) await publishOne(bus, draft('room', `kept ${n}`))
  await pair.replicated()
  await pair.promote()
  // The old primary acknowledges and delivers these; the new one does not know them.
  for (let n = 6; n <= 8; n++) await publishOne(bus, draft('room', `rolled back ${n}`))
  await waitFor(() => heard.events.length === 8, 5_000, 'the events')
  return { ...pair, start, seen: heard.events.map(event => event.cursor) }
}

t.test('a failover that rolled back gives no position twice, and resumes none of the old ones as whole', async t => {
  const { bus, heard, start, seen, switchOver } = await rollBack(t)
  await switchOver()
  await waitFor(() => heard.gaps.length > 0, 15_000, 'the gap')
  t.same(heard.gaps, [{ rooms: null, reason: 'failover' }])
  const fresh: string[] = []
  for (let n = 6; n <= 12; n++) fresh.push(formatCursor(await publishOne(bus, draft('room', `fresh ${n}`))))
  const old = new Set(seen.map(formatCursor))
  t.notOk(
    fresh.some(id => old.has(id)),
    'no id names two events',
  )
  await waitFor(() => heard.events.length >= 15, 10_000, 'the fresh events')
  const fromNew = heard.events.slice(8).map(event => event.data)
  t.same(
    fromNew,
    Array.from({ length: 7 }, (_, n) => `"fresh ${n + 6}"`),
    'nothing old again, nothing fresh missing',
  )
  for (const after of [start, ...seen]) {
    const { events, lost } = await readAll(bus, after, FOLLOWED)
    t.same(lost.sort(), ['quiet', 'room'], `${formatCursor(after)} is not whole`)
    const data = payloads(events)
    t.same(
      data.slice(-7),
      Array.from({ length: 7 }, (_, n) => `fresh ${n + 6}`),
    )
    t.notOk(data.some(each => String(each).startsWith('rolled back')))
  }
})

t.test('without the guard the same failover would take positions for others: the test above can fail', async t => {
  const { bus, replica, seen, switchOver } = await rollBack(t)
  // Make the epoch belong to the new primary.
  const own = /master_replid:(\w+)/.exec(String(await replica.command('INFO', 'replication')))![1]!
  const [state] = (await replica.command('KEYS', '*:state')) as string[]
  await replica.command('HSET', state!, 'replid', own)
  const { bus: there } = createRedisBus(replica.url)
  await listenTo(t, there, FOLLOWED)
  const ids: string[] = []
  for (let n = 6; n <= 10; n++) ids.push(formatCursor(await publishOne(there, draft('room', `fresh ${n}`))))
  t.same(ids.slice(0, 3), seen.slice(5).map(formatCursor), 'the same ids name other events')
  const { events, lost } = await readAll(there, seen[7]!, ['room'])
  t.same([payloads(events), lost], [['fresh 9', 'fresh 10'], []], 'and a resume would lose three in silence')
  await switchOver()
  t.ok(bus.position)
})

t.test('a failover that lost nothing is announced all the same, and every kept event is delivered', async t => {
  const { bus, heard, replicated, promote, switchOver } = await startPair(t)
  for (let n = 1; n <= 5; n++) await publishOne(bus, draft('room', n))
  await replicated()
  await promote()
  await switchOver()
  await waitFor(() => heard.gaps.length > 0, 15_000, 'the gap')
  for (let n = 6; n <= 9; n++) await publishOne(bus, draft('room', n))
  await waitFor(() => heard.events.length >= 9, 10_000, 'the events')
  t.same(payloads(heard.events), [1, 2, 3, 4, 5, 6, 7, 8, 9])
  t.same(heard.gaps, [{ rooms: null, reason: 'failover' }])
})

t.test('with REDIS_WAIT_REPLICAS an event is only acknowledged when the replica has it', async t => {
  const primary = await startRedis(t)
  const replica = await startRedis(t, { replicaOf: primary.port })
  const { bus } = createRedisBus(primary.url, { waitReplicas: 1, waitMs: 300 })
  await listenTo(t, bus)
  const isTaken = () => bus.publish([draft('room', 'kept', { key: 'k' })]).then(() => true)
  await waitFor(isTaken, 10_000, 'the replica to follow and a publish to be taken')
  replica.freeze()
  const startedAt = performance.now()
  const [outcome] = await Promise.allSettled([bus.publish([draft('room', 'late', { key: 'late' })])])
  const tookMs = performance.now() - startedAt
  const { bus: other } = createRedisBus(primary.url, { waitReplicas: 1, waitMs: 300 })
  await listenTo(t, other)
  const [elsewhere] = await Promise.allSettled([other.publish([draft('room', 'late', { key: 'late' })])])
  replica.thaw()
  t.match(outcome, { status: 'rejected', reason: { code: 'TIDINGS_BUS_UNCERTAIN', statusCode: 503 } })
  t.match(
    String((outcome as PromiseRejectedResult).reason),
    /0 of 1 Redis replicas .* 300 ms.*repeat with the same key/,
  )
  t.ok(tookMs < 2_000, `${tookMs} ms`)
  t.match(
    elsewhere,
    { reason: { code: 'TIDINGS_BUS_UNCERTAIN' } },
    'nor is its repeat by way of another replica of ours',
  )
  const again = () => bus.publish([draft('room', 'late', { key: 'late' })])
  const [answer] = await waitFor(() => again(), 10_000, 'the repeat to be taken')
  t.equal(answer!.duplicate, true, 'repeating it with the same key is safe')
  await replica.command('REPLICAOF', 'NO', 'ONE')
  const { bus: there } = createRedisBus(replica.url)
  await listenTo(t, there)
  const { events } = await readAll(there, { epoch: bus.position!.epoch, seq: 0 }, ['room'])
  t.same(payloads(events), ['kept', 'late'], 'what was acknowledged survives the loss of the primary')
})

t.test(
  'with Sentinel a gateway follows a failover by itself: streams stay, the gap is told, publishes go on',
  async t => {
    const set = await startSentinel(t)
    const gateway = await startGateway(t, { SSE_ADAPTER: 'redis', REDIS_URL: set.url }, { until: 'ready' })
    const stream = await openStream(t, `${gateway.url}/v1/stream?user=42`)
    await stream.next('stream.open')
    const publish = async (n: number) =>
      (await post(`${gateway.url}/v1/users/42/events`, `{"type":"tick","data":${n},"key":"${n}"}`)).status === 202
    t.ok(await publish(1))
    const old = await set.master()
    await old.kill()
    await set.untilMasterIsNot(old)
    await waitFor(() => publish(2), 20_000, 'a publish on the new primary')
    await stream.waitFor(({ events }) => events.some(event => event.data === '2'), 10_000, 'its event')
    t.match(
      stream.events.map(({ type, data }) => `${type} ${data}`),
      [/^stream\.open /, 'tick 1', /^stream\.gap .*"failover"/, 'tick 2'],
    )
    const ready = await (await fetch(`${gateway.url}/readyz`)).json()
    t.match(ready, { status: 'ok', reason: null })
  },
)

t.test('readers who moved to the new primary first are told when it shows that the old one went on', async t => {
  const { bus, replica, replicated, promote, switchOver } = await startPair(t)
  await publishOne(bus, draft('room', 'kept'))
  await replicated()
  await promote()
  const { bus: first } = createRedisBus(replica.url)
  const heard = await listenTo(t, first, FOLLOWED)
  const before = await publishOne(first, draft('room', 'fresh'))
  await publishOne(bus, draft('room', 'rolled back'))
  t.same(heard.gaps, [])
  await switchOver()
  await waitFor(() => heard.gaps.length > 0, 15_000, 'the gap at who moved first')
  t.same(heard.gaps, [{ rooms: null, reason: 'failover' }])
  const { events, lost } = await readAll(first, before, FOLLOWED)
  t.same([payloads(events), lost.sort()], [[], ['quiet', 'room']], 'a resume from before that is not called whole')
  const again = await publishOne(first, draft('room', 'again'))
  t.same((await readAll(first, { ...again, seq: again.seq - 1 }, FOLLOWED)).lost, [], 'and one from behind it is')
})

t.test('what an emitter alone was given by the old primary is told too, with its next publish', async t => {
  const { primary, replica, replicated, promote } = await startPair(t)
  const link = await startLink(t, primary.port)
  const emitter = createEmitter({ redisUrl: `redis://127.0.0.1:${link.port}`, prefix: 'test:', retryForMs: 10_000 })
  t.teardown(() => emitter.close())
  await emitter.publish('room', { type: 'note', data: 'kept' })
  await replicated()
  await promote()
  const { bus } = createRedisBus(replica.url)
  const heard = await listenTo(t, bus, FOLLOWED)
  await publishOne(bus, draft('room', 'fresh'))
  await emitter.publish('room', { type: 'note', data: 'rolled back' })
  const { port } = link
  await link.close()
  await startLink(t, replica.port, port)
  await emitter.publish('room', { type: 'note', data: 'over' })
  await waitFor(() => heard.gaps.length > 0, 15_000, 'the gap')
  t.same(heard.gaps, [{ rooms: null, reason: 'failover' }])
})
