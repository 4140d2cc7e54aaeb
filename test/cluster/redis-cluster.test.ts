import t, { type Test } from 'tap'
import type { RedisBus } from '../../src/bus/redis.js'
import { testBus } from '../contracts/bus.js'
import { draft, listenTo, payloads } from '../helpers/bus.js'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { createRedisBus } from '../helpers/redis-bus.js'
import { type RedisCluster, startCluster } from '../helpers/redis-cluster.js'
import { openStream } from '../helpers/sse.js'

// CLUSTER KEYSLOT '{0}'
const SLOT = 13_907
const nodes = { slot: SLOT }

function busOn(url: string, prefix = 'tidings:') {
  const troubles: string[] = []
  const { bus, link } = createRedisBus(url, {
    prefix,
    onTrouble: error => void troubles.push(String(error)),
    onLinkTrouble: error => void troubles.push(error.message),
  })
  return { bus, link, troubles }
}

/** Repeats a publish until the bus takes it, as a caller with an idempotency key may. */
async function insist(bus: RedisBus, data: number): Promise<void> {
  const event = draft('hub', data, { key: `k${data}` })
  const isTaken = () =>
    bus.publish([event]).then(
      () => true,
      () => false,
    )
  await waitFor(isTaken, 20_000, `event ${data} to be taken`)
}

t.test('the contract of the bus holds on a cluster', async t => {
  const cluster = await startCluster(t, nodes)
  const owner = await cluster.ownerOf(SLOT)
  t.equal(await owner.command('CLUSTER', 'KEYSLOT', 'tidings:{0}:state'), SLOT)
  let count = 0
  testBus(t, (_, options) => createRedisBus(cluster.url, { ...options, prefix: `t${++count}:` }).bus)
})

/** Checks a move of the bus to another server: no event comes twice, and none is lost silently. */
async function checkMove(t: Test, cluster: RedisCluster, move: () => Promise<void>): Promise<void> {
  const one = busOn(cluster.url)
  const two = busOn(cluster.url)
  const heard = await listenTo(t, two.bus, ['hub'])
  await listenTo(t, one.bus)
  for (let n = 1; n <= 20; n++) await insist(one.bus, n)
  await waitFor(() => heard.events.length >= 20, 5_000, 'the events before')
  await move()
  for (let n = 21; n <= 40; n++) await insist(one.bus, n)
  await waitFor(() => payloads(heard.events).includes(40), 20_000, 'the last event')
  const got = payloads(heard.events).map(Number)
  t.equal(new Set(got).size, got.length, 'nothing twice')
  t.same(
    got,
    [...got].sort((a, b) => a - b),
    'in order',
  )
  const isComplete = got.length === 40
  t.ok(isComplete || heard.gaps.length > 0, `all of it, or word of a gap (${got.length} events)`)
  await waitFor(() => one.bus.health().status === 'ok' && two.bus.health().status === 'ok', 10_000, 'both to be well')
}

t.test('a slot that moves to another node is followed there', async t => {
  const cluster = await startCluster(t, nodes)
  await checkMove(t, cluster, async () => {
    const owner = await cluster.ownerOf(SLOT)
    await cluster.moveSlot(SLOT, cluster.nodes.find(node => node !== owner)!)
  })
})

t.test('a replica that takes over for a primary that was killed is found', async t => {
  const cluster = await startCluster(t, { ...nodes, replicas: 1 })
  await checkMove(t, cluster, async () => {
    const owner = await cluster.ownerOf(SLOT)
    await owner.kill()
    await waitFor(async () => (await cluster.ownerOf(SLOT)) !== owner, 20_000, 'the replica to take over')
  })
})

t.test('a replica that takes over for a primary that froze is found, and the old one back changes nothing', async t => {
  const cluster = await startCluster(t, { ...nodes, replicas: 1 })
  const owner = await cluster.ownerOf(SLOT)
  await checkMove(t, cluster, async () => {
    owner.freeze()
    await waitFor(async () => (await cluster.ownerOf(SLOT)) !== owner, 20_000, 'the replica to take over')
  })
  owner.thaw()
  await waitFor(async () => String(await owner.command('ROLE')).startsWith('slave'), 20_000, 'the old one to follow')
  const { bus } = busOn(cluster.url)
  await listenTo(t, bus)
  await insist(bus, 99)
})

t.test('gateways on a cluster deliver across replicas and are told the cluster by one node of it', async t => {
  const cluster = await startCluster(t, nodes)
  const owner = await cluster.ownerOf(SLOT)
  const other = cluster.nodes.find(node => node !== owner)!
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: `redis+cluster://127.0.0.1:${other.port}` }
  const a = await startGateway(t, env, { until: 'ready' })
  const b = await startGateway(t, env, { until: 'ready' })
  const stream = await openStream(t, `${a.url}/v1/stream?user=1&rooms=hub`)
  await stream.next('stream.open')
  const body = '{"type":"tick","data":1}'
  const headers = { 'content-type': 'application/json' }
  const { status } = await fetch(`${b.url}/v1/rooms/hub/events`, { method: 'POST', headers, body })
  t.equal(status, 202)
  t.equal((await stream.next('tick')).data, '1')
  for (const gateway of [a, b]) t.equal(await gateway.stop(), 0)
  t.notMatch(a.output + b.output, /Warning|"level":[56]0/)
})
