import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parseApiKeys } from './auth/api-keys.js'
import { keyServerProblem } from './auth/jwks.js'
import { isLoopback } from './auth/loopback.js'
import { publicKeyProblem } from './auth/public-key.js'
import { type SettingKind, shownSetting } from './config/shown.js'
import { InvalidConfig } from './errors.js'
import { trustOf } from './http/trust-proxy.js'
import { redisUrlProblem } from './redis/url.js'

// One schema: names, defaults, limits and the README's table come from here. `env` is the variable's name; embedding
// applications use the property's; `kind` says how much of the value may be shown.

const text = (env: string, description: string, options = {}) =>
  Type.String({ env, description, minLength: 1, ...options })
const optional = (env: string, description: string, options = {}) => Type.Optional(text(env, description, options))
const count = (env: string, value: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ env, description, default: value, minimum, maximum })

/** Everything that can be configured. */
export const ConfigSchema = Type.Object(
  {
    host: text('HOST', 'address to listen on', {
      default: '127.0.0.1',
      pattern: '^[A-Za-z0-9._:%-]+$',
      allowed: 'an IP address or the name of a host',
    }),
    port: count('PORT', 3_000, 0, 65_535, 'port to listen on; 0 picks a free one'),
    adminPort: Type.Optional(
      Type.Integer({
        env: 'ADMIN_PORT',
        minimum: 0,
        maximum: 65_535,
        description: 'moves probes and metrics to a port of their own',
      }),
    ),
    adapter: Type.Union([Type.Literal('memory'), Type.Literal('redis')], {
      env: 'SSE_ADAPTER',
      default: 'memory',
      description: 'memory (one replica) or redis (many)',
    }),
    redisUrl: optional('REDIS_URL', 'redis://, rediss://, redis+sentinel://h1,h2/name or redis+cluster://h1,h2', {
      pattern: '^(redis|rediss|redis\\+sentinel|rediss\\+sentinel|redis\\+cluster|rediss\\+cluster)://.+$',
      allowed: 'a redis://, rediss://, redis+sentinel:// or redis+cluster:// URL',
      kind: 'secret',
    }),
    redisPrefix: text('REDIS_PREFIX', 'what every key and channel starts with', {
      default: 'tidings:',
      pattern: '^[\\x21-\\x7a|~]{1,64}$',
      allowed: '1-64 printable ASCII characters without space, { and }',
    }),
    redisWaitReplicas: count(
      'REDIS_WAIT_REPLICAS',
      0,
      0,
      10,
      'Redis replicas that must have an event before it is answered 202',
    ),
    redisWaitMs: count('REDIS_WAIT_MS', 500, 1, 1_000, 'how long to wait for them'),
    jwtSecret: optional('JWT_SECRET', 'HS256 secret', {
      minLength: 32,
      allowed: 'at least 32 characters',
      kind: 'secret',
    }),
    jwtPublicKey: optional('JWT_PUBLIC_KEY', 'RS256, ES256 or EdDSA public key: PEM, or the path of a PEM file', {
      kind: 'path',
    }),
    jwksUrl: optional('JWKS_URL', 'where public keys are published', {
      pattern: '^https?://.+$',
      allowed: 'an http(s):// URL',
      kind: 'url',
    }),
    jwtIssuer: optional('JWT_ISSUER', 'required issuer (iss)'),
    jwtAudience: optional('JWT_AUDIENCE', 'required audience (aud)'),
    jwtType: optional(
      'JWT_TYPE',
      'required type of token (typ in its header), such as at+jwt; else none, JWT or at+jwt',
      {
        pattern: '^[A-Za-z0-9.+/-]{1,64}$',
        allowed: 'a media type without its application/, such as JWT or at+jwt',
      },
    ),
    tokenMaxLifeMs: count(
      'TOKEN_MAX_LIFE_MS',
      400 * 86_400_000,
      60_000,
      400 * 86_400_000,
      'longest life of a token; revoked users are remembered as long',
    ),
    authCookie: optional('AUTH_COOKIE', 'name of a cookie that holds the JWT', {
      pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
      allowed: 'a cookie name',
    }),
    apiKeys: optional('API_KEYS', "servers' keys: name=key,name=key with publish patterns after bars", {
      kind: 'secret',
    }),
    corsOrigins: Type.Array(Type.String({ pattern: '^https?://[^/\\s,]+$' }), {
      env: 'CORS_ORIGINS',
      default: [],
      description: 'origins whose pages may read and publish, credentials allowed',
      allowed: 'comma-separated origins such as https://app.example',
    }),
    historySize: count('HISTORY_SIZE', 256, 0, 100_000, 'events kept per room'),
    historyTtlMs: count('HISTORY_TTL_MS', 3_600_000, 1, 2_592_000_000, 'how long an event is kept'),
    heartbeatMs: count('HEARTBEAT_MS', 25_000, 1_000, 60_000, 'a silent stream gets a heartbeat after this long'),
    connectionMaxAgeMs: count(
      'CONNECTION_MAX_AGE_MS',
      3_600_000,
      0,
      86_400_000,
      'a stream ends after this long, jittered by 20 %; 0 for never',
    ),
    maxConnections: count('MAX_CONNECTIONS', 10_000, 1, 1_000_000, 'streams per replica'),
    maxConnectionsPerUser: count('MAX_CONNECTIONS_PER_USER', 20, 1, 1_000_000, 'streams per user and replica'),
    maxRoomsPerConnection: count('MAX_ROOMS_PER_CONNECTION', 100, 1, 1_000, 'rooms one stream may ask for'),
    maxEventBytes: count('MAX_EVENT_BYTES', 65_536, 1, 1_048_576, "bytes of one event's data"),
    queueLimitBytes: count('QUEUE_LIMIT_BYTES', 1_048_576, 16_384, 268_435_456, 'bytes that may wait for one reader'),
    rateLimitPublish: count(
      'RATE_LIMIT_PUBLISH',
      10_000,
      0,
      10_000_000,
      'events per second and publisher; 0 for no limit',
    ),
    rateLimitRooms: count(
      'RATE_LIMIT_ROOMS',
      3_000,
      0,
      10_000_000,
      'new rooms per minute and publisher; 0 for no limit',
    ),
    rateLimitConnect: count(
      'RATE_LIMIT_CONNECT',
      600,
      0,
      10_000_000,
      'new streams per minute and viewer; 0 for no limit',
    ),
    drainDelayMs: count('DRAIN_DELAY_MS', 0, 0, 600_000, 'shutdown: time between not being ready and ending streams'),
    drainWindowMs: count('DRAIN_WINDOW_MS', 20_000, 0, 600_000, 'shutdown: time over which streams end'),
    tlsCert: optional('TLS_CERT', 'path of a PEM certificate chain: serves HTTPS with HTTP/2 and HTTP/1.1', {
      kind: 'path',
    }),
    tlsKey: optional('TLS_KEY', 'path of its PEM key', { kind: 'path' }),
    logLevel: Type.Union(
      [
        Type.Literal('fatal'),
        Type.Literal('error'),
        Type.Literal('warn'),
        Type.Literal('info'),
        Type.Literal('debug'),
        Type.Literal('trace'),
        Type.Literal('silent'),
      ],
      { env: 'LOG_LEVEL', default: 'info', description: 'least important log line written' },
    ),
    trustProxy: text('TRUST_PROXY', 'true, false, a number of hops, or addresses and ranges of proxies', {
      default: 'false',
    }),
    docs: Type.Boolean({
      env: 'DOCS',
      default: true,
      description: 'serves /docs and /openapi.json; `false` leaves them out',
    }),
    auth: Type.Optional(
      Type.Literal('none', {
        env: 'AUTH',
        description: 'none: says on purpose that there are no credentials (loopback only)',
      }),
    ),
  },
  { additionalProperties: false },
)
export type Config = Static<typeof ConfigSchema>

/** The options that limit a rate. */
export type RateLimitName = 'rateLimitPublish' | 'rateLimitRooms' | 'rateLimitConnect'

/** A variable of the README's table. */
export interface Variable {
  readonly name: keyof Config
  readonly env: string
  readonly description: string
  readonly default: unknown
}

/** Every variable, in the order of the table. */
export const VARIABLES: readonly Variable[] = Object.entries(ConfigSchema.properties).map(([name, schema]) => ({
  // Safe: the entries of an object schema's properties are the type's keys.
  name: name as keyof Config,
  env: String(schema.env),
  description: String(schema.description),
  default: schema.default,
}))

/**
 * The configuration that the environment describes. An empty variable counts as not set.
 * @throws InvalidConfig  lists every bad or contradictory variable by name, value and what is allowed; also a gateway that
 *   would listen beyond loopback without credentials
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given: Record<string, unknown> = {}
  for (const { name, env: variable } of VARIABLES) {
    const value = env[variable]
    if (value !== undefined && value !== '') given[name] = fromText(ConfigSchema.properties[name], value)
  }
  return check(given, name => ConfigSchema.properties[name].env, [contradictions, exposure])
}

/**
 * The configuration that an embedding application describes.
 * @throws InvalidConfig  lists every bad option by name, value and what is allowed
 */
export function checkOptions(options: Partial<Config>): Config {
  return check({ ...options }, name => name, [contradictions])
}

/** The value of a setting for people to look at; `null` when it must not be shown. */
export function shownValueOf(name: keyof Config, value: unknown): string | null {
  return shownSetting(kindOf(ConfigSchema.properties[name]), value)
}

/** True when nothing says how viewers are known: anybody is whoever they say. */
export function isOpen(config: Config): boolean {
  const { jwtSecret, jwtPublicKey, jwksUrl, apiKeys } = config
  return [jwtSecret, jwtPublicKey, jwksUrl, apiKeys].every(credential => credential === undefined)
}

type NameOf = (name: keyof Config) => string

/** What is wrong with values that are each allowed; one sentence a problem. */
type Rule = (config: Config, nameOf: NameOf) => string[]

function check(given: Record<string, unknown>, nameOf: NameOf, rules: readonly Rule[]): Config {
  const problems = Object.keys(given)
    .filter(name => !Object.hasOwn(ConfigSchema.properties, name))
    .map(name => `${name} is not an option`)
  const bad: string[] = []
  for (const { name } of VARIABLES) {
    const schema: TSchema = ConfigSchema.properties[name]
    given[name] ??= structuredClone(schema.default)
    const value = given[name]
    if (value !== undefined && !Value.Check(schema, value)) {
      problems.push(`${nameOf(name)} is ${shownValue(schema, value)} but must be ${allowedBy(schema)}`)
      bad.push(nameOf(name))
      given[name] = structuredClone(schema.default)
    }
    if (given[name] === undefined) delete given[name]
  }
  const known = Object.fromEntries(
    Object.entries(given).filter(([name]) => Object.hasOwn(ConfigSchema.properties, name)),
  )
  if (Value.Check(ConfigSchema, known)) {
    // What a bad value would contradict cannot be told; what the others contradict can.
    const about = (name: string) => new RegExp(`(?<!\\w)${name}(?!\\w)`)
    const contrary = rules.flatMap(rule => rule(known, nameOf))
    problems.push(...contrary.filter(problem => !bad.some(name => about(name).test(problem))))
    if (problems.length === 0) return known
  }
  throw new InvalidConfig(problems.join('\n'))
}

function contradictions(config: Config, nameOf: NameOf): string[] {
  const problems: string[] = []
  const say = (isWrong: boolean, problem: string) => isWrong && problems.push(problem)
  const [adapter, url] = [nameOf('adapter'), nameOf('redisUrl')]
  say(
    config.adapter === 'redis' && config.redisUrl === undefined,
    `${url} is not set but ${adapter} is 'redis', which needs it`,
  )
  say(
    config.adapter === 'memory' && config.redisUrl !== undefined,
    `${url} is set but ${adapter} is 'memory'; set ${adapter} to 'redis' or remove ${url}`,
  )
  if (config.redisUrl !== undefined) {
    const problem = redisUrlProblem(config.redisUrl)
    say(problem !== null, `${url} is no Redis URL: ${problem}`)
  }
  say(
    config.adapter === 'memory' && config.redisWaitReplicas > 0,
    `${nameOf('redisWaitReplicas')} is ${config.redisWaitReplicas} but ${adapter} is 'memory', which has no replicas`,
  )
  say(
    config.queueLimitBytes < 4 * config.maxEventBytes,
    `${nameOf('queueLimitBytes')} is ${config.queueLimitBytes} but must be at least 4 times ${nameOf('maxEventBytes')} (${4 * config.maxEventBytes})`,
  )
  say(
    (config.tlsCert === undefined) !== (config.tlsKey === undefined),
    `${nameOf('tlsCert')} and ${nameOf('tlsKey')} must be set together`,
  )
  say(
    config.adminPort !== undefined && config.adminPort !== 0 && config.adminPort === config.port,
    `${nameOf('adminPort')} is ${config.port}, the same as ${nameOf('port')}; use another or leave it out`,
  )
  say(
    !isOpen(config) && config.auth === 'none',
    `${nameOf('auth')} is 'none' but credentials are configured; remove one or the other`,
  )
  if (config.apiKeys !== undefined) {
    problems.push(...parseApiKeys(config.apiKeys).problems.map(problem => `${nameOf('apiKeys')}: ${problem}`))
  }
  for (const name of ['tlsCert', 'tlsKey'] as const) {
    say(
      config[name]?.includes('-----BEGIN') === true,
      `${nameOf(name)} holds a PEM but must be the path of a file with one`,
    )
  }
  if (config.jwksUrl !== undefined) {
    const problem = keyServerProblem(config.jwksUrl)
    say(problem !== null, `${nameOf('jwksUrl')} ${problem}`)
  }
  if (config.jwtPublicKey !== undefined) {
    const problem = publicKeyProblem(config.jwtPublicKey)
    say(problem !== null, `${nameOf('jwtPublicKey')} ${problem}`)
  }
  say(
    trustOf(config.trustProxy) === null,
    `${nameOf('trustProxy')} is ${shownValue(ConfigSchema.properties.trustProxy, config.trustProxy)} but must be true, false, a number of hops, or addresses and ranges such as 10.0.0.0/8`,
  )
  const verifiers = (['jwtSecret', 'jwtPublicKey', 'jwksUrl'] as const).filter(name => config[name] !== undefined)
  say(
    verifiers.length > 1,
    `${verifiers.map(nameOf).join(' and ')} are set together; tokens are verified by exactly one of them`,
  )
  for (const name of ['jwtIssuer', 'jwtAudience', 'jwtType', 'authCookie'] as const) {
    say(
      config[name] !== undefined && verifiers.length === 0,
      `${nameOf(name)} is set but nothing verifies tokens; set ${nameOf('jwtSecret')}, ${nameOf('jwtPublicKey')} or ${nameOf('jwksUrl')}`,
    )
  }
  return problems
}

// Anybody on a network could be any user.
function exposure(config: Config): string[] {
  if (!isOpen(config) || isLoopback(config.host)) return []
  const why = `HOST is '${config.host}' but no credentials are configured, so anybody who reaches it could be any user`
  return [`${why}; set JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL or API_KEYS, or listen on 127.0.0.1`]
}

function fromText(schema: TSchema, value: string): unknown {
  if (schema.type === 'integer') return /^-?\d{1,15}$/.test(value) ? Number(value) : value
  if (schema.type === 'boolean') return value === 'true' || (value === 'false' ? false : value)
  if (schema.type === 'array')
    return value
      .split(',')
      .map(item => item.trim())
      .filter(item => item !== '')
  return value
}

function shownValue(schema: TSchema, value: unknown): string {
  const shown = shownSetting(kindOf(schema), value)
  return shown === null ? 'set to something' : `'${shown}'`
}

function kindOf(schema: TSchema): SettingKind | undefined {
  // Safe: the schemas above say nothing else.
  return schema.kind as SettingKind | undefined
}

function allowedBy(schema: TSchema): string {
  if (schema.allowed !== undefined) return String(schema.allowed)
  if (schema.type === 'integer') return `${schema.minimum}-${schema.maximum}`
  if (schema.type === 'boolean') return 'true or false'
  // Safe: the unions here are of literals.
  if (schema.anyOf !== undefined) return (schema.anyOf as { const: string }[]).map(each => `'${each.const}'`).join(', ')
  if (schema.const !== undefined) return `'${schema.const}'`
  return 'a text of at least one character'
}
