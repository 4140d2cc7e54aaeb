import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import fp from 'fastify-plugin'
import type { DestinationStream } from 'pino'
import accessPlugin from '../plugins/access.js'
import authPlugin, { type AuthHooks } from '../plugins/auth.js'
import corsPlugin from '../plugins/cors.js'
import errorsPlugin, { answerError } from '../plugins/errors.js'
import gatewayPlugin from '../plugins/gateway.js'
import healthPlugin from '../plugins/health.js'
import homePlugin from '../plugins/home.js'
import httpsPlugin from '../plugins/https.js'
import limitsPlugin from '../plugins/limits.js'
import metricsPlugin from '../plugins/metrics.js'
import openapiPlugin from '../plugins/openapi.js'
import publishPlugin from '../plugins/publish.js'
import scrapePlugin from '../plugins/scrape.js'
import streamPlugin from '../plugins/stream.js'
import { Access } from './auth/access.js'
import { type Config, checkOptions, isOpen } from './config.js'
import { InvalidConfig, NotFound } from './errors.js'
import { shown } from './event.js'
import { endBadClient } from './http/client-errors.js'
import { readCertificate } from './http/tls.js'
import { trustOf } from './http/trust-proxy.js'
import { createShared, type Shared } from './shared.js'
import { version } from './version.js'

// Clients that send their headers or bodies drop by drop are cut: they would hold a socket for nothing.
const SLOW_CLIENT_LIMITS = { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 2_000 }

// An HTTP/2 client that wants more streams at once opens another connection; Node's own default has no limit.
const TLS_LIMITS = { handshakeTimeout: 10_000, settings: { maxConcurrentStreams: 250 } }

/** Groups of routes that an embedding application may leave out. */
export type RouteGroup = 'stream' | 'publish' | 'access'

/** Groups of routes that an embedding application may ask for: they need no credential, and its port may be a public one. */
export type ProbeGroup = 'health' | 'metrics'

const ROUTE_GROUPS: readonly string[] = ['stream', 'publish', 'access'] satisfies RouteGroup[]
const PROBE_GROUPS: readonly string[] = ['health', 'metrics'] satisfies ProbeGroup[]

/** Options of the plugin: the configuration by its property names, and what only an application can give. */
export interface TidingsOptions extends Partial<Config>, AuthHooks {
  /** Put before every route: `/sse` makes `/sse/v1/stream`. */
  readonly prefix?: string
  /** Groups of routes to leave out. */
  readonly without?: readonly RouteGroup[]
  /** `/livez` and `/readyz` (`health`) and `/metrics`, which are not there unless asked for. */
  readonly with?: readonly ProbeGroup[]
}

interface RoutesOptions {
  config: Config
  without: readonly RouteGroup[]
  probes: readonly ProbeGroup[]
  rates: Shared['rates']
}

const routes: FastifyPluginAsync<RoutesOptions> = async (app, { config, without, probes, rates }) => {
  await app.register(errorsPlugin)
  await app.register(async guarded => {
    await guarded.register(corsPlugin, { config })
    await guarded.register(limitsPlugin, { config, store: rates })
    if (!without.includes('stream')) await guarded.register(streamPlugin, { config })
    if (!without.includes('publish')) await guarded.register(publishPlugin, { config })
    if (!without.includes('access')) await guarded.register(accessPlugin)
  })
  if (probes.includes('health')) await app.register(healthPlugin)
  if (probes.includes('metrics')) await app.register(scrapePlugin)
}

/**
 * Tidings as a plugin of your own Fastify application: `app.register(tidings, { adapter: 'redis', redisUrl })`, then
 * `app.tidings.emit(userId, { type, data })`.
 * @throws InvalidConfig  lists every bad option
 */
export const tidings: FastifyPluginAsync<TidingsOptions> = fp(
  async (app: FastifyInstance, options: TidingsOptions) => {
    const { prefix = '', without = [], with: probes = [], authenticate, authorize, ...given } = options
    const config = checkOptions(given)
    checkGroups('without', without, ROUTE_GROUPS)
    checkGroups('with', probes, PROBE_GROUPS)
    const shared = createShared(config, app.log, authenticate !== undefined)
    await app.register(gatewayPlugin, { config, bus: shared.bus, clock: shared.clock })
    // Before the routes: it measures the publish routes as they are added.
    await app.register(metricsPlugin, { config })
    const access = new Access({ ...shared, gateway: app.tidings, log: app.log })
    const hooks = { ...(authenticate && { authenticate }), ...(authorize && { authorize }) }
    await app.register(authPlugin, { config, access, ...hooks })
    await app.register(routes, { prefix, config, without, probes, rates: shared.rates })
  },
  { name: 'tidings', fastify: '5.x' },
)
export default tidings

/**
 * The gateway as a server of its own; not listening yet. With a certificate it speaks HTTPS, HTTP/2 and HTTP/1.1. Its log goes to
 * `log`, or to stdout line by line.
 */
export async function buildApp(config: Config, log?: DestinationStream): Promise<FastifyInstance> {
  const certificate = readCertificate(config)
  const https = { allowHTTP1: true, ...TLS_LIMITS, ...SLOW_CLIENT_LIMITS, ...certificate }
  const tls = certificate === null ? {} : { http2: true, https }
  // Safe: an HTTP/2 server that allows HTTP/1.1 has what the plugins use of either.
  const app = Fastify({ ...serverOptions(config, log), ...tls } as FastifyServerOptions) as unknown as FastifyInstance
  const seeDocs = config.docs ? '; see /docs or /openapi.json for those there are' : ''
  // Before a body is read: nobody makes the gateway hold bytes without a credential.
  app.addHook('onRequest', (request, _, done) => {
    done(request.is404 ? new NotFound(request.method, shown(withoutSecrets(request.url)), seeDocs) : undefined)
  })
  await app.register(errorsPlugin)
  if (config.docs) await app.register(openapiPlugin, { version })
  const probes: ProbeGroup[] = config.adminPort === undefined ? ['health', 'metrics'] : []
  await app.register(tidings, { ...config, with: probes })
  if (certificate !== null) await app.register(httpsPlugin)
  if (isOpen(config)) await app.register(homePlugin)
  return app
}

/** Probes and metrics of `app`'s gateway on a server of their own, for `ADMIN_PORT`; not listening yet. Closes with `app`. */
export async function buildAdminApp(app: FastifyInstance, config: Config): Promise<FastifyInstance> {
  const { logger: _, ...options } = serverOptions(config)
  const admin = Fastify({ ...options, loggerInstance: app.log })
  // The same gateway and measurements, under the names that the plugins depend on.
  await admin.register(fp(async shared => void shared.decorate('tidings', app.tidings), { name: 'tidings-gateway' }))
  await admin.register(
    fp(async shared => void shared.decorate('tidingsMetrics', app.tidingsMetrics), { name: 'tidings-metrics' }),
  )
  await admin.register(errorsPlugin)
  await admin.register(scrapePlugin)
  await admin.register(healthPlugin)
  app.addHook('onClose', () => admin.close())
  return admin
}

function checkGroups(option: string, given: readonly string[], allowed: readonly string[]): void {
  const bad = given.find(group => !allowed.includes(group))
  if (bad !== undefined) {
    throw new InvalidConfig(`${option} names '${shown(String(bad))}' but its groups are ${allowed.join(', ')}`)
  }
}

function serverOptions(config: Config, log?: DestinationStream) {
  return {
    logger: { level: config.logLevel, base: null, ...(log && { stream: log }) },
    // Request lines hold tickets and tokens; what matters is logged by name instead.
    logController: new LogController({ disableRequestLogging: true }),
    // A logger for each request is what only the few that fail would need; their lines carry the request's id anyway.
    childLoggerFactory: (log: FastifyBaseLogger) => log,
    // Never null: the configuration was checked.
    trustProxy: trustOf(config.trustProxy)!,
    routerOptions: { maxParamLength: 256 },
    forceCloseConnections: true,
    // EventSource never comes back from a 503: a stream that comes while this closes is told `shutdown` like all others.
    return503OnClosing: false,
    http: SLOW_CLIENT_LIMITS,
    // Fastify sets this one itself, on any server.
    requestTimeout: SLOW_CLIENT_LIMITS.requestTimeout,
    // Bytes that are no request.
    clientErrorHandler: endBadClient,
    // URLs that never reach a route, and so no error handler either.
    frameworkErrors: answerError,
  }
}

// A path may hold a ticket, and the query a token.
function withoutSecrets(url: string): string {
  return url.split('?')[0]!.replace(/(\/v1\/tickets\/)[^/]+/, '$1...')
}
