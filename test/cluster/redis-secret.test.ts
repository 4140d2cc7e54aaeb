import t from 'tap'
import { createEmitter } from '../../src/emitter.js'
import { waitFor } from '../helpers/deadline.js'
import { runGateway, startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'
import { redisCommand } from '../helpers/redis-command.js'
import { startSentinel } from '../helpers/sentinel.js'

const RIGHT = 'r1ght/p@ss:word%'
const WRONG = 'wr0ng/p@ss:word%'

function withPassword(url: string, password: string, user = ''): string {
  return url.replace('://', `://${user}:${encodeURIComponent(password)}@`)
}

/** Parts of both passwords, plain and percent-encoded. */
const SECRET = /r1ght|wr0ng|p@ss|p%40ss/

t.test('a wrong password is told as trouble and never shown; streams wait and publishes are refused', async t => {
  const redis = await startRedis(t, {})
  await redis.command('ACL', 'SETUSER', 'default', `>${RIGHT}`)
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: withPassword(redis.url, WRONG), LOG_LEVEL: 'trace' }
  const gateway = await startGateway(t, env, { nodeArgs: ['--unhandled-rejections=strict'] })
  const line = await waitFor(() => gateway.logs.find(({ msg }) => /Redis commands/.test(msg)), 5_000, 'word of it')
  t.match(line, { level: 40, err: { message: /WRONGPASS/ } })
  const ready = await fetch(`${gateway.url}/readyz`)
  t.equal(ready.status, 503)
  const body = JSON.stringify({ type: 'x', data: 'event-data' })
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${gateway.url}/v1/broadcast`, { method: 'POST', headers, body })
  t.equal(answer.status, 503)
  const said = [gateway.output, await ready.text(), await answer.text()].join('\n')
  t.notMatch(said, SECRET)
  t.notMatch(said, /event-data/)
  t.equal(await gateway.stop(), 0)
})

t.test('a password with every kind of character opens a connection, with and without a user', async t => {
  const redis = await startRedis(t, {})
  await redis.command('ACL', 'SETUSER', 'me', 'on', `>${RIGHT}`, '~*', '&*', '+@all')
  await redis.command('ACL', 'SETUSER', 'default', `>${RIGHT}`)
  for (const user of ['', 'me']) {
    const env = { SSE_ADAPTER: 'redis', REDIS_URL: withPassword(redis.url, RIGHT, user), LOG_LEVEL: 'trace' }
    const gateway = await startGateway(t, env, { until: 'ready' })
    t.equal(await gateway.stop(), 0)
    t.notMatch(gateway.output, SECRET)
  }
})

t.test('an emitter with a wrong password says so, without it', async t => {
  const redis = await startRedis(t, {})
  await redis.command('ACL', 'SETUSER', 'default', `>${RIGHT}`)
  const troubles: unknown[] = []
  const onTrouble = (error: Error) => void troubles.push({ ...error, message: error.message, stack: error.stack })
  const emitter = createEmitter({ redisUrl: withPassword(redis.url, WRONG), connectTimeoutMs: 500, onTrouble })
  t.teardown(() => emitter.close())
  const error = await emitter.emit('1', { type: 'x' }).then(
    () => null,
    (error: Error) => error,
  )
  t.match(error, { code: 'TIDINGS_BUS_UNAVAILABLE' })
  t.match(troubles[0], { message: /WRONGPASS/ })
  t.notMatch(JSON.stringify([{ ...error }, String(error), String(error?.cause), ...troubles]), SECRET)
})

t.test('with Sentinel, neither password is shown when either is wrong', async t => {
  const set = await startSentinel(t)
  await (await set.master()).command('ACL', 'SETUSER', 'default', `>${RIGHT}`)
  for (const { port } of set.sentinels) await redisCommand(port, ['ACL', 'SETUSER', 'default', `>${RIGHT}`])
  for (const [own, ofSentinels] of [
    [RIGHT, WRONG],
    [WRONG, RIGHT],
  ] as const) {
    const url = `${withPassword(set.url, own)}?sentinelPassword=${encodeURIComponent(ofSentinels)}`
    const gateway = await startGateway(t, { SSE_ADAPTER: 'redis', REDIS_URL: url, LOG_LEVEL: 'trace' })
    const line = await waitFor(() => gateway.logs.find(({ msg }) => /Redis commands/.test(msg)), 5_000, 'word of it')
    t.match(line, { err: { message: /WRONGPASS/ } })
    t.equal(await gateway.stop(), 0)
    t.notMatch(gateway.output, SECRET)
  }
})

t.test('a URL that cannot be read is refused at start, without quoting it', async t => {
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: 'redis://:r1ght/p@ss@127.0.0.1', HISTORY_SIZE: '-1' }
  const { code, output } = await runGateway(t, env)
  t.equal(code, 1)
  t.match(output, /HISTORY_SIZE is '-1'/)
  t.notMatch(output, SECRET)
  const alone = await runGateway(t, { ...env, HISTORY_SIZE: '1' })
  t.match(alone.output, /REDIS_URL is no Redis URL: user and password must be percent-encoded/)
  t.notMatch(alone.output, SECRET)
})
