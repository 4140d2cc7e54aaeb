import t from 'tap'
import { checkOptions, readConfig, shownValueOf, VARIABLES } from '../../../src/config/check.js'

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
  // Safe: a program without types can pass this.
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

t.test('a bad value does not hide a contradiction between others, and makes none of its own', async t => {
  const messageOf = (env: Record<string, string>) => {
    try {
      readConfig(env)
    } catch (error) {
      return String((error as Error).message) // readConfig() throws nothing else
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

t.test('what is put into the wrong variable, or the wrong way, is not quoted when it looks like a secret', async t => {
  const pem = '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIs3cret\n-----END PRIVATE KEY-----\n'
  const inOneLine = pem.replaceAll('\n', '\\n')
  const raw = 'MC4CAQAwBQYDK2VwBCIEIs3cretMC4CAQAwBQYDK2VwBCIEI'
  const tls = { TLS_CERT: '/nowhere/cert.pem' }
  const cases: [Record<string, string>, RegExp][] = [
    [{ ...tls, TLS_KEY: pem }, /^TLS_KEY holds a PEM but must be the path of a file with one$/],
    [{ ...tls, TLS_KEY: inOneLine }, /^TLS_KEY holds a PEM/],
    [{ TLS_CERT: pem, TLS_KEY: '/nowhere/key.pem' }, /^TLS_CERT holds a PEM/],
    [{ JWT_PUBLIC_KEY: pem }, /^JWT_PUBLIC_KEY is a private key/],
    [{ JWT_PUBLIC_KEY: raw }, /^JWT_PUBLIC_KEY is neither a PEM nor a file/],
    [{ JWKS_URL: 'https://me:s3cret@issuer.example/keys' }, /^JWKS_URL holds a user or password/],
    [{ JWKS_URL: 'https://s3cret@issuer.example/keys' }, /^JWKS_URL holds a user or password/],
    [{ JWKS_URL: 'https://[s3cret/' }, /^JWKS_URL is no URL$/],
    [{ JWKS_URL: 'me:s3cret@issuer.example' }, /^JWKS_URL is set to something but must be an http/],
    [{ REDIS_PREFIX: 'redis://:s3cret@host {' }, /^REDIS_PREFIX is set to something but must be/],
    [{ HOST: 'redis://:s3cret@host' }, /^HOST is set to something but must be/],
    [{ TRUST_PROXY: 'http://me:s3cret@proxy' }, /^TRUST_PROXY is set to something but must be/],
    [{ CORS_ORIGINS: 'https://me:s3cret@app.example/' }, /^CORS_ORIGINS is set to something but must be/],
    [{ AUTH_COOKIE: pem, JWT_SECRET: 'x'.repeat(32) }, /^AUTH_COOKIE is set to something but must be/],
    [{ LOG_LEVEL: pem }, /^LOG_LEVEL is set to something but must be/],
    [{ PORT: 's3cret'.repeat(40) }, /^PORT is set to something but must be/],
  ]
  for (const [env, expected] of cases) {
    const problems = problemsOf(env)
    t.match(problems[0], expected)
    t.notMatch(problems.join(), /s3cret/, Object.keys(env).join())
  }
})

t.test('of a setting only what holds no secret is shown', async t => {
  t.equal(shownValueOf('port', 3000), '3000')
  t.equal(
    shownValueOf('corsOrigins', ['https://a.example', 'https://b.example']),
    'https://a.example,https://b.example',
  )
  t.equal(shownValueOf('tlsKey', '/etc/tls/tls.key'), '/etc/tls/tls.key')
  t.equal(shownValueOf('tlsKey', 'tls.pem'), 'tls.pem')
  t.equal(shownValueOf('tlsKey', 'MC4CAQAwBQYDK2VwBCIEI'), null)
  t.equal(shownValueOf('jwksUrl', 'https://issuer.example/keys'), 'https://issuer.example/keys')
  t.equal(shownValueOf('jwksUrl', 'https://issuer.example/keys?key=s3cret'), 'https://issuer.example/keys?...')
  t.equal(shownValueOf('jwtPublicKey', '-----BEGIN PUBLIC KEY-----'), null)
  t.equal(shownValueOf('redisUrl', 'redis://host'), null)
})

t.test('bad credentials in the configuration are all reported at once, by variable', async t => {
  const env = { API_KEYS: 'a=short', JWT_PUBLIC_KEY: '/nowhere.pem', TRUST_PROXY: 'proxy.example', HOST: '127.0.0.1' }
  t.throws(() => readConfig(env), {
    message: /API_KEYS: key 1 has 5.*JWT_PUBLIC_KEY is neither a PEM.*TRUST_PROXY is 'proxy\.example'/s,
  })
  t.throws(() => checkOptions({ jwtSecret: 'short' }), { message: /^(?!.*short)/ })
})
