import t from 'tap'
import { isLoopback } from '../../src/auth/loopback.js'
import { checkOptions, readConfig, VARIABLES } from '../../src/config.js'

/** The problems of an environment, one a line. */
function problemsOf(env: Record<string, string>): string[] {
  try {
    readConfig(env)
    return []
  } catch (error) {
    t.match(error, { code: 'TIDINGS_INVALID_CONFIG' })
    return error instanceof Error ? error.message.split('\n') : []
  }
}

t.test('an empty environment gives the defaults, and an empty variable counts as not set', async t => {
  const config = readConfig({})
  t.match(config, {
    host: '127.0.0.1',
    port: 3_000,
    adapter: 'memory',
    historySize: 256,
    heartbeatMs: 25_000,
    queueLimitBytes: 1_048_576,
  })
  t.same(readConfig({ PORT: '', REDIS_URL: '', HOME: '/root' }), config)
  t.same(checkOptions({}), config)
})

t.test('every mistake is reported at once, by name, value and what is allowed', async t => {
  const problems = problemsOf({
    PORT: '70000',
    SSE_ADAPTER: 'kafka',
    HEARTBEAT_MS: 'soon',
    HISTORY_SIZE: '-1',
    MAX_CONNECTIONS: '1e3',
    CORS_ORIGINS: 'https://a.example,not an origin',
    REDIS_URL: 'http://user:s3cret@host',
    JWT_SECRET: 's3cret',
    LOG_LEVEL: 'loud',
  })
  t.equal(problems.length, 9)
  const all = problems.join('\n')
  for (const each of [
    "PORT is '70000' but must be 0-65535",
    "SSE_ADAPTER is 'kafka' but must be 'memory', 'redis'",
    "HEARTBEAT_MS is 'soon' but must be 1000-60000",
    "HISTORY_SIZE is '-1' but must be 0-100000",
    "MAX_CONNECTIONS is '1e3' but must be 1-1000000",
    "CORS_ORIGINS is 'https://a.example,not an origin'",
    'REDIS_URL is set to something but must be a redis://',
    'JWT_SECRET is set to something but must be at least 32 characters',
    "LOG_LEVEL is 'loud'",
  ]) {
    t.ok(all.includes(each), each)
  }
  t.notMatch(all, /s3cret/, 'and no secret is quoted')
})

t.test('contradictions are refused, naming both sides', async t => {
  const said = (env: Record<string, string>) => problemsOf(env).join('\n')
  t.match(said({ SSE_ADAPTER: 'redis' }), /REDIS_URL is not set but SSE_ADAPTER is 'redis'/)
  t.match(said({ REDIS_URL: 'redis://h' }), /REDIS_URL is set but SSE_ADAPTER is 'memory'/)
  t.match(said({ REDIS_WAIT_REPLICAS: '1' }), /REDIS_WAIT_REPLICAS is 1 but SSE_ADAPTER is 'memory'/)
  t.match(
    said({ QUEUE_LIMIT_BYTES: '65536' }),
    /QUEUE_LIMIT_BYTES is 65536 but must be at least 4 times MAX_EVENT_BYTES/,
  )
  t.match(said({ TLS_CERT: '/a.pem' }), /TLS_CERT and TLS_KEY must be set together/)
  t.match(said({ ADMIN_PORT: '3000' }), /ADMIN_PORT is 3000, the same as PORT/)
  t.match(said({ AUTH: 'none', JWT_SECRET: 'x'.repeat(32) }), /AUTH is 'none' but credentials are configured/)
  t.match(said({ JWT_ISSUER: 'me' }), /JWT_ISSUER is set but nothing verifies tokens/)
})

t.test("an embedding application's mistakes go by the options' names", async t => {
  t.throws(() => checkOptions({ adapter: 'redis' }), { message: /redisUrl is not set but adapter is 'redis'/ })
  // Safe: what a program without types would pass.
  t.throws(() => checkOptions({ nonsense: 1, toString: 2 } as never), {
    message: /nonsense is not an option\ntoString is not an option/,
  })
  t.throws(() => checkOptions({ port: '3000' } as never), { message: /port is '3000' but must be 0-65535/ })
})

t.test('every variable has a name of its own, a description and a default that is allowed', async t => {
  t.equal(new Set(VARIABLES.map(({ env }) => env)).size, VARIABLES.length)
  for (const { env, description } of VARIABLES) {
    t.match(env, /^[A-Z0-9_]+$/)
    t.ok(description.length > 5, env)
  }
})

t.test('only addresses of this machine are loopback', async t => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) t.ok(isLoopback(host), host)
  for (const host of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '127.example.com',
    '127.0.0.1.example.com',
    'localhost.example.com',
    '',
  ])
    t.notOk(isLoopback(host), host)
})

t.test('a bad value does not hide a contradiction between others, and makes none of its own', async t => {
  const messageOf = (env: Record<string, string>) => {
    try {
      readConfig(env)
    } catch (error) {
      return String((error as Error).message) // readConfig throws nothing else
    }
    return 'accepted'
  }
  t.equal(
    messageOf({ PORT: 'abc', SSE_ADAPTER: 'redis' }),
    "PORT is 'abc' but must be 0-65535\nREDIS_URL is not set but SSE_ADAPTER is 'redis', which needs it",
  )
  t.notMatch(messageOf({ SSE_ADAPTER: 'redis', REDIS_URL: 'foo' }), /is not set/)
})

t.test(
  'a gateway that anybody could reach without a credential is refused, along with every other mistake',
  async t => {
    const problems = problemsOf({ HOST: '0.0.0.0', PORT: 'abc', SSE_ADAPTER: 'redis' })
    t.equal(problems.length, 3)
    t.match(
      problems[2],
      /^HOST is '0\.0\.0\.0' but no credentials are configured.*set JWT_SECRET.* or listen on 127\.0\.0\.1$/,
    )
    t.same(problemsOf({ HOST: '0.0.0.0', JWT_SECRET: 'x'.repeat(32) }), [])
    t.equal(
      problemsOf({ HOST: '0.0.0.0', JWT_SECRET: 'short' }).length,
      1,
      'a bad credential is told, not that it is missing',
    )
    t.equal(checkOptions({ host: '0.0.0.0' }).host, '0.0.0.0', 'where an application embeds it, that is its own affair')
  },
)
