import t from 'tap'
import { createEmitter } from '../../src/emitter.js'
import { post } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'
import { openStream } from '../helpers/sse.js'

// Channels belong to a whole Redis and not to one of its databases. Gateways on two databases must not hear each other all the same.

const KEY = 'a-key-0123456789'
const HEADERS = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }

t.test('gateways on two databases of one Redis hear nothing of each other: no event, beacon or signal', async t => {
  const redis = await startRedis(t)
  const start = async (db: number) => {
    const env = { SSE_ADAPTER: 'redis', REDIS_URL: `${redis.url}/${db}`, API_KEYS: `root=${KEY}`, DRAIN_WINDOW_MS: '0' }
    const gateway = await startGateway(t, env, { until: 'ready' })
    const stream = await openStream(t, `${gateway.url}/v1/stream?user=42&rooms=hub`, { headers: HEADERS })
    await stream.next('stream.open')
    const emitter = createEmitter({ redisUrl: `${redis.url}/${db}` })
    t.teardown(() => emitter.close())
    return {
      gateway,
      stream,
      emitter,
      publish: (body: string) => post(`${gateway.url}/v1/rooms/hub/events`, body, HEADERS),
    }
  }
  const [zero, one] = [await start(0), await start(1)]

  const channels = await redis.command('PUBSUB', 'CHANNELS')
  t.same([...(channels as string[])].sort(), [
    'tidings:{0}:db1:events',
    'tidings:{0}:db1:signals',
    'tidings:{0}:events',
    'tidings:{0}:signals',
  ])
  // Both counters stand at the same number, so an event of the other bus would pass for the next one.
  for (let n = 1; n <= 5; n++) {
    t.equal((await one.publish(`{"type":"one","data":${n}}`)).status, 202)
    await zero.emitter.publish('hub', { type: 'zero', data: n })
    await one.emitter.publish('hub', { type: 'one', data: `emitted ${n}` })
  }
  t.equal((await zero.publish('{"type":"last"}')).status, 202)
  await zero.stream.next('last')
  const types = (stream: typeof zero.stream) => stream.events.map(({ type }) => type)
  t.same(types(zero.stream), ['stream.open', ...Array(5).fill('zero'), 'last'], 'no event crossed, and none was lost')

  const revoked = await fetch(`${one.gateway.url}/v1/users/42/connections`, {
    method: 'DELETE',
    headers: { authorization: HEADERS.authorization },
  })
  t.same(await revoked.json(), { ended: 1 }, 'one stream, of this database')
  await waitFor(() => one.stream.destroyed, 5_000, 'the stream on database 1 to end')
  t.same(types(one.stream), ['stream.open', ...Array(10).fill('one'), 'stream.close'])

  t.equal((await zero.publish('{"type":"after"}')).status, 202)
  await zero.stream.next('after')
  t.notOk(zero.stream.destroyed, 'the stream of the same user on database 0 goes on')
  t.notOk(types(zero.stream).includes('stream.gap'))
})
