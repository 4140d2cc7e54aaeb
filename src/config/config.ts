import { type Static, Type } from '@sinclair/typebox'

// One schema: names, defaults, limits and the table in docs/configuration.md come from here. `env` is the name of the variable. Embedding
// applications use the name of the property. `kind` says how much of the value may be shown.

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
