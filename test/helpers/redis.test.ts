import t from 'tap'
import { startRedis } from './redis.js'
import { Scope } from './scope.js'
import { startSentinel } from './sentinel.js'

t.test('a Redis can be restarted empty on its port, frozen and thawed', async t => {
  const redis = await startRedis(t)
  t.equal(await redis.command('SET', 'a', 'ü'), 'OK')
  t.equal(await redis.command('GET', 'a'), 'ü')
  redis.freeze()
  await t.rejects(redis.command('PING'), { message: /no reply/ })
  redis.thaw()
  t.equal(await redis.command('PING'), 'PONG')
  const { pid } = redis
  await redis.restart()
  t.not(redis.pid, pid)
  t.equal(await redis.command('GET', 'a'), null)
})

t.test('an append-only Redis has its data again after a kill', async t => {
  const redis = await startRedis(t, { appendonly: true, args: ['--appendfsync', 'always'] })
  await redis.command('SET', 'a', '1')
  await redis.kill()
  await redis.restart()
  t.equal(await redis.command('GET', 'a'), '1')
})

t.test('a Redis is gone with its owner', async t => {
  const scope = new Scope()
  const redis = await startRedis(scope)
  await scope.close()
  t.equal(redis.pid, 0)
  await t.rejects(redis.command('PING'), { code: 'ECONNREFUSED' })
})

t.test('a Sentinel set fails over in good order, and when its master is killed', async t => {
  const set = await startSentinel(t, { replicas: 2 })
  const first = await set.master()
  await first.command('SET', 'a', '1')
  const second = await set.failover()
  t.not(second.port, first.port)
  t.equal(await second.command('GET', 'a'), '1')
  await second.kill()
  const third = await set.untilMasterIsNot(second)
  t.not(third.port, second.port)
})
