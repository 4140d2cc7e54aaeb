import t from 'tap'
import { post } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'
import { openStream } from '../helpers/sse.js'

const KEY = 'root-key-0123456789'

const BROKEN = [
  '',
  '5',
  '"text"',
  'null',
  '[]',
  '{',
  '{}',
  '{"id":5,"count":"x"}',
  '{"id":"a","command":null}',
  '{"id":"a","command":5}',
  '{"id":"a","command":{}}',
  '{"id":"a","command":{"kind":"revoke-user"}}',
  '{"id":"a","command":{"kind":"revoke-user","userId":{},"at":"soon"}}',
  '{"id":"a","command":{"kind":"from-a-later-version","rooms":["a"]}}',
  '{"id":"a","command":{"kind":"__proto__"}}',
  '{"__proto__":{"count":1},"id":"a"}',
  'E\nk\n1\n1\n9007199254740991\nroom\ntick\n\n1\na',
  'E\nk\n99999999999999999999\n1\n1\n',
  'B\n\n\n',
  `E\n${'x'.repeat(100_000)}`,
]

t.test('malformed messages on every channel end no replica, and the next event reaches its readers', async t => {
  const redis = await startRedis(t)
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: redis.url, API_KEYS: `root=${KEY}` }
  const gateways = await Promise.all([0, 1].map(() => startGateway(t, env, { until: 'ready' })))
  const headers = { authorization: `Bearer ${KEY}` }
  const streams = await Promise.all(
    gateways.map(({ url }) => openStream(t, `${url}/v1/stream?user=42&rooms=hub`, { headers })),
  )
  for (const stream of streams) await stream.next('stream.open')
  const channels = (await redis.command('PUBSUB', 'CHANNELS', '*')) as string[]
  t.ok(channels.length >= 2, channels.join(' '))
  for (const channel of channels) {
    for (const message of BROKEN) t.equal(await redis.command('PUBLISH', channel, message), 2)
  }
  const json = { ...headers, 'content-type': 'application/json' }
  const { status } = await post(`${gateways[0]!.url}/v1/rooms/hub/events`, '{"type":"tick","data":7}', json)
  t.equal(status, 202)
  for (const stream of streams) {
    t.equal((await stream.next('tick')).data, '7')
    t.notOk(
      stream.events.some(({ type }) => type === 'stream.gap'),
      'nobody was told of a loss that was none',
    )
  }
  const said = ({ logs }: (typeof gateways)[number]) => logs.some(({ msg }) => msg.includes('was not understood'))
  await waitFor(() => gateways.every(said), 5_000, 'the log to say that something was not understood')
  const url = `${gateways[1]!.url}/v1/users/42/connections`
  t.same(
    await (await fetch(url, { method: 'DELETE', headers })).json(),
    { ended: 2 },
    'and replicas still ask each other',
  )
})
