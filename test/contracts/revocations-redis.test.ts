import t, { type Test } from 'tap'
import { formatUserKey, userKeyOf } from '../../src/access/revocation-table.js'
import { startRedis } from '../helpers/redis.js'
import { connectAccess, fillRevocations, type RedisAccess } from '../helpers/redis-access.js'
import { testRevocations } from './revocations.js'

const redis = await startRedis(t)
const DAY_MS = 86_400_000
let prefixes = 0
const freshPrefix = () => `test${++prefixes}:`
const replica = (t: Test, prefix: string, lifeMs?: number) => connectAccess(t, redis.url, prefix, lifeMs)
const setOf = (prefix: string) => `${prefix}{0}:revocations`
const userOf = (userId: string) => formatUserKey(userKeyOf(userId))

/** Does all that a replica does when it may have missed something. Returns true if it put a revocation back. */
async function sync({ revocations }: RedisAccess): Promise<boolean> {
  await revocations.learn()
  return revocations.restore()
}

/** Measures from now on: the longest list of users in one answer of Redis, and the number of scripts run. */
function meter({ answers }: RedisAccess) {
  const from = answers.length
  const pages = () => answers.slice(from).map(answer => String((answer as unknown[]).at(-1)).split(',').length / 2)
  return { scripts: () => answers.length - from, longest: () => Math.max(0, ...pages()) }
}

const fill = (prefix: string, count: number, since: number) => fillRevocations(redis, setOf(prefix), count, since)

testRevocations(t, t => replica(t, freshPrefix()))

t.test('a replica learns what others revoked, wherever it was then', async t => {
  const prefix = freshPrefix()
  const [a, b] = [await replica(t, prefix), await replica(t, prefix)]
  const at = await a.revocations.revoke('42')
  t.ok(await b.revocations.learn())
  t.equal(b.revocations.known.revokedAt('42'), at)
  const again = await a.revocations.revoke('42')
  await a.revocations.revoke('7')
  t.ok(await b.revocations.learn())
  t.equal(b.revocations.known.revokedAt('42'), again)
  t.ok(b.revocations.known.revokedAt('7'))
  t.notOk(await b.revocations.learn())
})

t.test('a replica that has read nothing yet can ask about each user', async t => {
  const prefix = freshPrefix()
  const [a, b] = [await replica(t, prefix), await replica(t, prefix)]
  const at = await a.revocations.revoke('42')
  await Promise.all(['42', '7'].map(user => b.revocations.ask(user)))
  t.equal(b.revocations.known.revokedAt('42'), at)
  t.equal(b.revocations.known.revokedAt('7'), null)
  t.notOk(await sync(b), 'what it was told is nothing that Redis lost')
})

t.test('pages follow one another whatever the times are: all the same, or revoked again meanwhile', async t => {
  const prefix = freshPrefix()
  const [a, b] = [await replica(t, prefix), await replica(t, prefix)]
  const at = Date.now() - 1_000
  for (let n = 0; n < 12_000; n++) a.revocations.known.note(`user:${n}`, at)
  t.ok(await sync(a), 'the set was empty')
  await b.revocations.learn()
  t.same(b.revocations.known.table.digest, a.revocations.known.table.digest)
  t.equal(b.revocations.known.table.digest.count, 12_000)
  const late = await replica(t, prefix)
  const learned = late.revocations.learn()
  for (let n = 0; n < 12_000; n += 1_000) await a.revocations.revoke(`user:${n}`)
  await learned
  await late.revocations.learn()
  t.same(late.revocations.known.table.digest, a.revocations.known.table.digest)
})

t.test('a replica that comes back reads what changed, and not the whole set', async t => {
  const prefix = freshPrefix()
  await fill(prefix, 100_000, Date.now() - DAY_MS / 2)
  const [a, b] = [await replica(t, prefix), await replica(t, prefix)]
  const first = meter(b)
  await sync(b)
  t.equal(b.revocations.known.table.digest.count, 100_000)
  t.ok(first.longest() <= 5_000, `no answer is longer than a page: ${first.longest()}`)
  await a.revocations.revoke('42')
  const second = meter(b)
  t.ok(await b.revocations.learn())
  t.notOk(await b.revocations.restore())
  t.ok(b.revocations.known.revokedAt('42'))
  t.ok(second.scripts() <= 3, `${second.scripts()} scripts`)
  t.ok(second.longest() <= 1, `${second.longest()} users at once`)
})

t.test('news of a reading that broke off are told by the next one', async t => {
  const prefix = freshPrefix()
  await fill(prefix, 6_000, Date.now() - DAY_MS / 2)
  const a = await replica(t, prefix)
  const run = a.link.run
  let calls = 0
  a.link.run = async (...args) => {
    if (++calls === 2) throw new Error('the connection broke')
    return run(...args)
  }
  await t.rejects(a.revocations.learn(), { code: 'TIDINGS_ACCESS_UNAVAILABLE' })
  await redis.command('ZREMRANGEBYRANK', setOf(prefix), '5001', '-1')
  t.ok(await a.revocations.learn(), 'though nothing else is new')
  t.notOk(await a.revocations.learn())
})

t.test('a Redis that forgot everything is told again all that replicas know', async t => {
  const prefix = freshPrefix()
  const [a, b] = [await replica(t, prefix), await replica(t, prefix)]
  await fill(prefix, 20_000, Date.now() - DAY_MS / 2)
  await a.revocations.revoke('42')
  await sync(a)
  await sync(b)
  const { digest } = a.revocations.known.table
  await redis.command('DEL', setOf(prefix))
  t.ok(await sync(a))
  t.notOk(await sync(b), 'there is nothing left to put back')
  const late = await replica(t, prefix)
  await sync(late)
  t.same(late.revocations.known.table.digest, digest)
  t.equal(digest.count, 20_001)
})

t.test('what a failover lost is put back: a user, and a later revocation of one', async t => {
  const prefix = freshPrefix()
  const a = await replica(t, prefix)
  await fill(prefix, 1_000, Date.now() - DAY_MS / 2)
  const early = await a.revocations.revoke('again')
  await sync(a)
  const before = (await redis.command('DUMP', setOf(prefix)).catch(() => null)) !== null
  t.ok(before)
  const score = await redis.command('ZSCORE', setOf(prefix), 'sum')
  for (const start = Date.now(); Date.now() <= start + 1; );
  const [lost, again] = [await a.revocations.revoke('lost'), await a.revocations.revoke('again')]
  t.ok(again > early)
  // The promoted replica had it like that.
  await redis.command('ZREM', setOf(prefix), userOf('lost'))
  await redis.command('ZADD', setOf(prefix), `${early}`, userOf('again'), String(score), 'sum')
  const work = meter(a)
  t.ok(await sync(a))
  t.ok(work.scripts() <= 4, 'without reading it all')
  t.equal(Number(await redis.command('ZSCORE', setOf(prefix), userOf('lost'))), lost)
  t.equal(Number(await redis.command('ZSCORE', setOf(prefix), userOf('again'))), again)
})

t.test('a loss that is older than what is read again, and leaves the count as it was, is noticed', async t => {
  const prefix = freshPrefix()
  const a = await replica(t, prefix)
  const old = Date.now() - DAY_MS / 2
  a.revocations.known.note('one', old)
  await sync(a)
  await redis.command('DEL', setOf(prefix))
  const b = await replica(t, prefix)
  b.revocations.known.note('other', old)
  await sync(b)
  t.ok(await sync(a))
  t.ok(a.revocations.known.revokedAt('other'))
  await sync(b)
  t.same(b.revocations.known.table.digest, a.revocations.known.table.digest)
  t.ok(b.revocations.known.revokedAt('one'))
})

t.test('a clock of Redis that was set back hides nothing: neither what it said nor what is revoked now', async t => {
  const prefix = freshPrefix()
  const [a, b] = [await replica(t, prefix), await replica(t, prefix)]
  // Revoke while the clock is an hour ahead.
  const ahead = Date.now() + 3_600_000
  a.revocations.known.note('early', ahead)
  await sync(a)
  await sync(b)
  const at = await a.revocations.revoke('42')
  t.ok(at < ahead)
  t.ok(await b.revocations.learn())
  t.equal(b.revocations.known.revokedAt('42'), at)
  t.equal(b.revocations.known.revokedAt('early'), ahead)
})

t.test('a failover to a server whose clock is behind: what was made before it is revoked too', async t => {
  const prefix = freshPrefix()
  const a = await replica(t, prefix)
  await sync(a)
  // The old server's clock was a minute ahead of the new one's.
  a.clock.observe(Date.now() + 60_000, performance.now())
  const issuedAt = a.clock.now()
  const at = await a.revocations.revoke('42')
  t.ok(a.revocations.known.covers('42', issuedAt))
  t.ok(at <= Date.now() + 65_000)
  t.ok(Math.abs(a.clock.now() - Date.now()) < 5_000, 'and the clock is that of the new one')
})

t.test('what no credential can outlive is forgotten, in Redis and in replicas', async t => {
  const prefix = freshPrefix()
  await fill(prefix, 3_000, Date.now() - 2 * DAY_MS)
  const a = await replica(t, prefix, DAY_MS)
  for (let n = 0; n < 3; n++) await sync(a)
  await a.revocations.revoke('42')
  t.same(await redis.command('ZCARD', setOf(prefix)), 2, 'one user and the sum')
  await sync(a)
  t.equal(a.revocations.known.table.digest.count, 1)
})

t.test('a set that something else wrote to is not read whole for ever', async t => {
  const prefix = freshPrefix()
  const a = await replica(t, prefix)
  await a.revocations.revoke('42')
  await redis.command('ZADD', setOf(prefix), `${Date.now()}`, userOf('7'))
  await sync(a)
  t.ok(a.revocations.known.revokedAt('7'))
  const work = meter(a)
  await sync(a)
  t.ok(work.scripts() <= 3, `${work.scripts()} scripts`)
})
