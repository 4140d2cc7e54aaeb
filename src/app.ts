import type { Server } from 'node:http'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifyServerOptions,
  LogController,
  type onSendHookHandler,
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
import limitsPlugin from '../plugins/limits.js'
import metricsPlugin from '../plugins/metrics.js'
import openapiPlugin from '../plugins/openapi.js'
import publishPlugin from '../plugins/publish.js'
import scrapePlugin from '../plugins/scrape.js'
import socketsPlugin from '../plugins/sockets.js'
import streamPlugin from '../plugins/stream.js'
import { Access } from './access/access.js'
import { MAX_SESSION_MS } from './access/tickets.js'
import { type Adapters, createAdapters } from './adapters.js'
import { rememberedMs } from './auth/jwt.js'
import { checkOptions } from './config/check.js'
import type { Config } from './config/config.js'
import { isOpen, takesTokens } from './config/rules.js'
import { NotFound, shown } from './errors.js'
import { InvalidConfig } from './failures.js'
import { endBadClient } from './http/client-errors.js'
import { createWatchedServer, socketLimits } from './http/server.js'
import { SocketWatch } from './http/socket-watch.js'
import { type Certificate, readCertificate } from './http/tls.js'
import { trustOf } from './http/trust-proxy.js'
import { version } from './version.js'

// The types and errors that the signatures below mention, or those of what they make: `app.tidings` and `request.viewer`.
export type { AuthHooks } from '../plugins/auth.js'
export type { Action, Viewer, ViewerInput } from './auth/viewer.js'
export type { Config } from './config/config.js'
export {
  BatchTooLarge,
  EventTooLarge,
  InvalidData,
  InvalidItem,
  InvalidKey,
  InvalidRoom,
  InvalidType,
  InvalidUser,
} from './errors.js'
export type { Published } from './event.js'
export { BusUnavailable, BusUncertain, Closed, InvalidConfig } from './failures.js'
export type { Gateway } from './gateway.js'
export type { AddressedInput, EventInput, Publisher } from './publisher.js'

/** Groups of routes that an embedding application may leave out. */
export type RouteGroup = 'stream' | 'publish' | 'access'

/** Groups of routes that an embedding application may ask for: they need no credential, and its port may be a public one. */
export type ProbeGroup = 'health' | 'metrics'

const ROUTE_GROUPS: readonly string[] = ['stream', 'publish', 'access'] satisfies RouteGroup[]
const PROBE_GROUPS: readonly string[] = ['health', 'metrics'] satisfies ProbeGroup[]

/** Options of the plugin: the configuration by its property names, and hooks that only an application can give. */
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
  rates: Adapters['rates']
  isEmbedded: boolean
}

const routes: FastifyPluginAsync<RoutesOptions> = async (app, options) => {
  const { config, without, probes, rates, isEmbedded } = options
  await app.register(errorsPlugin)
  if (isEmbedded) app.addHook('onSend', sayLast)
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
export const tidings: FastifyPluginAsync<TidingsOptions> = fp((app, options) => mount(app, options, true), {
  name: 'tidings',
  fastify: '5.x',
})
export default tidings

/**
 * The gateway as a server of its own; not listening yet. With a certificate it speaks HTTPS, HTTP/2 and HTTP/1.1. Its log goes to
 * `log`, or to stdout line by line.
 */
export async function buildApp(config: Config, log?: DestinationStream): Promise<FastifyInstance> {
  const certificate = readCertificate(config.tlsCert, config.tlsKey)
  const watch = new SocketWatch(socketLimits(config.maxConnections))
  const app = Fastify(serverOptions(config, watch, certificate, log))
  const seeDocs = config.docs ? '; see /docs or /openapi.json for those there are' : ''
  refuseUnknown(app, seeDocs)
  await app.register(errorsPlugin)
  if (config.docs) await app.register(openapiPlugin, { version })
  const probes: ProbeGroup[] = config.adminPort === undefined ? ['health', 'metrics'] : []
  await app.register(
    fp((app, options: TidingsOptions) => mount(app, options, false)),
    { ...config, with: probes },
  )
  await app.register(socketsPlugin, { watch })
  if (isOpen(config)) await app.register(homePlugin)
  return app
}

/** Probes and metrics of `app`'s gateway on a server of their own, for `ADMIN_PORT`; not listening yet. Closes with `app`. */
export async function buildAdminApp(app: FastifyInstance, config: Config): Promise<FastifyInstance> {
  const watch = new SocketWatch(socketLimits(config.maxConnections))
  const { logger: _, ...options } = serverOptions(config, watch, null)
  const admin = Fastify({ ...options, loggerInstance: app.log })
  refuseUnknown(admin, '')
  // The same gateway and measurements, under the names that the plugins depend on.
  await admin.register(fp(async shared => void shared.decorate('tidings', app.tidings), { name: 'tidings-gateway' }))
  await admin.register(
    fp(async shared => void shared.decorate('tidingsMetrics', app.tidingsMetrics), { name: 'tidings-metrics' }),
  )
  await admin.register(errorsPlugin)
  await admin.register(scrapePlugin)
  await admin.register(healthPlugin)
  await admin.register(socketsPlugin, { watch })
  app.addHook('onClose', () => admin.close())
  return admin
}

// Before a body is read: nobody makes the gateway hold bytes without a credential.
function refuseUnknown(app: FastifyInstance, seeDocs: string): void {
  app.addHook('onRequest', (request, _, done) => {
    done(request.is404 ? new NotFound(request.method, shown(withoutSecrets(request.url)), seeDocs) : undefined)
  })
}

async function mount(app: FastifyInstance, options: TidingsOptions, isEmbedded: boolean): Promise<void> {
  const { prefix = '', without = [], with: probes = [], authenticate, authorize, ...given } = options
  const config = checkOptions(given)
  checkGroups('without', without, ROUTE_GROUPS)
  checkGroups('with', probes, PROBE_GROUPS)
  const lifeMs = longestLifeMs(config, authenticate !== undefined)
  const adapters = createAdapters(config, lifeMs, app.log)
  await app.register(gatewayPlugin, { config, adapters })
  // Before the routes: it measures the publish routes as they are added.
  await app.register(metricsPlugin, { config })
  const { access: stores, replicas, clock, rates } = adapters
  const access = new Access({ gateway: app.tidings, stores, replicas, clock, lifeMs, log: app.log })
  const hooks = { ...(authenticate && { authenticate }), ...(authorize && { authorize }) }
  await app.register(authPlugin, { config, access, ...hooks })
  await app.register(routes, { prefix, config, without, probes, rates, isEmbedded })
}

// How long a revocation must be remembered: as long as a credential can live that was made before it.
function longestLifeMs(config: Config, hasOwnViewers: boolean): number {
  const ticketMs = rememberedMs(MAX_SESSION_MS)
  return takesTokens(config) || hasOwnViewers ? Math.max(rememberedMs(config.tokenMaxLifeMs), ticketMs) : ticketMs
}

function checkGroups(option: string, given: readonly string[], allowed: readonly string[]): void {
  const bad = given.find(group => !allowed.includes(group))
  if (bad !== undefined) {
    throw new InvalidConfig(`${option} names '${shown(String(bad))}' but its groups are ${allowed.join(', ')}`)
  }
}

// On an application's server this is all that can be done for a request that was on its way when the end was announced: a
// kept connection would hold up that end. On our own server every socket is told.
const sayLast: onSendHookHandler = (request, reply, payload, done) => {
  if (request.server.tidings.leaving.aborted && request.raw.httpVersionMajor === 1) reply.header('connection', 'close')
  done(null, payload)
}

function serverOptions(
  config: Config,
  watch: SocketWatch,
  certificate: Certificate | null,
  log?: DestinationStream,
): FastifyServerOptions {
  return {
    // Safe: an HTTP/2 server that allows HTTP/1.1 has what Fastify and the plugins use of either.
    serverFactory: handler => createWatchedServer(certificate, watch, handler) as Server,
    // For the address that Fastify logs.
    ...(certificate && { https: certificate }),
    logger: { level: config.logLevel, base: null, ...(log && { stream: log }) },
    // Request lines hold tickets and tokens; what matters is logged by name instead.
    logController: new LogController({ disableRequestLogging: true }),
    // A logger for each request is what only the few that fail would need; their lines carry the request's id anyway.
    childLoggerFactory: (log: FastifyBaseLogger) => log,
    // Never null: the configuration was checked.
    trustProxy: trustOf(config.trustProxy)!,
    routerOptions: { maxParamLength: 256 },
    // EventSource never comes back from a 503: a stream that comes while this closes is told `shutdown` like all others.
    return503OnClosing: false,
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
