import t from 'tap'
import { hashTicket } from '../../src/access/tickets.js'
import { waitFor } from '../helpers/deadline.js'
import { startRedis } from '../helpers/redis.js'
import { connectAccess } from '../helpers/redis-access.js'
import { testTickets } from './tickets.js'

const redis = await startRedis(t)
let prefixes = 0
const freshPrefix = () => `test${++prefixes}:`

testTickets(t, async t => (await connectAccess(t, redis.url, freshPrefix())).tickets)

t.test('Redis ends a ticket with its session', async t => {
  const { tickets } = await connectAccess(t, redis.url, freshPrefix())
  await tickets.make('h', { userId: '42', follow: [], sessionMs: 300, maker: 'backend' })
  t.same(await tickets.take('h', 'c1', false), { outcome: 'taken', fence: 1 })
  await waitFor(async () => (await tickets.find('h')) === null, 5_000, 'the session to end')
  t.same(await tickets.take('h', 'c1', true), { outcome: 'gone' })
})

t.test('whatever is revoked, made-up tickets take one key, not one each', async t => {
  const prefix = freshPrefix()
  const { tickets } = await connectAccess(t, redis.url, prefix)
  for (let n = 0; n < 100; n++) await tickets.revoke(hashTicket(`made up ${n}`))
  const keys = (await redis.command('KEYS', `${prefix}*`)) as string[]
  t.same(keys, [`${prefix}{0}:revoked-tickets`])
  t.ok(Number(await redis.command('PTTL', keys[0]!)) > 0)
})
