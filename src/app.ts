import Fastify, {
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import fp from 'fastify-plugin'
import authPlugin from '../plugins/auth.js'
import errorsPlugin, { answerError } from '../plugins/errors.js'
import gatewayPlugin from '../plugins/gateway.js'
import healthPlugin from '../plugins/health.js'
import homePlugin from '../plugins/home.js'
import metricsPlugin from '../plugins/metrics.js'
import openapiPlugin from '../plugins/openapi.js'
import publishPlugin from '../plugins/publish.js'
import scrapePlugin from '../plugins/scrape.js'
import streamPlugin from '../plugins/stream.js'
import type { Bus } from './bus/bus.js'
import { MemoryBus } from './bus/memory.js'
import { RedisBus } from './bus/redis.js'
import { type Config, checkOptions, isOpen } from './config.js'
import { NotFound } from './errors.js'
import { shown } from './event.js'
import { RedisLink } from './redis.js'
import { readCertificate } from './tls.js'
import { version } from './version.js'

const TROUBLE_LOG_MS = 10_000

/** Groups of routes that an embedding application may leave out. */
export type RouteGroup = 'stream' | 'publish' | 'health' | 'metrics'

/** Options of the plugin: the configuration by its property names, and what only an application can give. */
export interface TidingsOptions extends Partial<Config> {
  /** Put before every route: `/sse` makes `/sse/v1/stream`. */
  readonly prefix?: string
  /** Groups of routes to leave out. */
  readonly without?: readonly RouteGroup[]
}

const routes: FastifyPluginAsync<{ config: Config; without: readonly RouteGroup[] }> = async (
  app,
  { config, without },
) => {
  await app.register(errorsPlugin)
  if (!without.includes('stream')) await app.register(streamPlugin, { config })
  if (!without.includes('publish')) await app.register(publishPlugin, { config })
  if (!without.includes('health')) await app.register(healthPlugin)
  if (!without.includes('metrics')) await app.register(scrapePlugin)
}

/**
 * Tidings as a plugin of your own Fastify application: `app.register(tidings, { adapter: 'redis', redisUrl })`, then
 * `app.tidings.emit(userId, { type, data })`.
 * @throws InvalidConfig  lists every bad option
 */
export const tidings: FastifyPluginAsync<TidingsOptions> = fp(
  async (app: FastifyInstance, options: TidingsOptions) => {
    const { prefix = '', without = [], ...given } = options
    const config = checkOptions(given)
    await app.register(gatewayPlugin, { config, bus: createBus(config, app) })
    // Before the routes: it measures the publish routes as they are added.
    await app.register(metricsPlugin, { config })
    await app.register(authPlugin, { config })
    await app.register(routes, { prefix, config, without })
  },
  { name: 'tidings', fastify: '5.x' },
)
export default tidings

/** The gateway as a server of its own; not listening yet. With a certificate it speaks HTTPS, HTTP/2 and HTTP/1.1. */
export async function buildApp(config: Config): Promise<FastifyInstance> {
  const certificate = readCertificate(config)
  const tls = certificate === null ? {} : { http2: true, https: { allowHTTP1: true, ...certificate } }
  // Safe: an HTTP/2 server that allows HTTP/1.1 has what the plugins use of either.
  const app = Fastify({ ...serverOptions(config), ...tls } as FastifyServerOptions) as unknown as FastifyInstance
  app.setNotFoundHandler(request => {
    throw new NotFound(request.method, shown(request.url.split('?')[0]!))
  })
  await app.register(errorsPlugin)
  await app.register(openapiPlugin, { version })
  const without: RouteGroup[] = config.adminPort === undefined ? [] : ['health', 'metrics']
  await app.register(tidings, { ...config, without })
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

function serverOptions(config: Config) {
  return {
    logger: { level: config.logLevel, base: null },
    // Request lines hold tickets and tokens; what matters is logged by name instead.
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: trustOf(config.trustProxy),
    routerOptions: { maxParamLength: 256 },
    forceCloseConnections: true,
    // URLs that never reach a route, and so no error handler either.
    frameworkErrors: answerError,
  }
}

function createBus(config: Config, app: FastifyInstance): Bus {
  if (config.adapter === 'memory') return new MemoryBus(config)
  // Trouble repeats while Redis is away; one line a kind and minute is enough.
  const warn = atMostEvery(TROUBLE_LOG_MS, (what: string, error: unknown) => app.log.warn({ err: error }, what))
  const link = new RedisLink({
    url: config.redisUrl!,
    onTrouble: (error, connection) => warn(`Redis ${connection}: connection trouble, trying again`, error),
  })
  return new RedisBus({
    ...config,
    link,
    prefix: config.redisPrefix,
    waitReplicas: config.redisWaitReplicas,
    waitMs: config.redisWaitMs,
    onTrouble: (error, what) => warn(`bus: ${what}`, error),
  })
}

function atMostEvery(ms: number, log: (what: string, error: unknown) => void): (what: string, error: unknown) => void {
  const lastAt = new Map<string, number>()
  return (what, error) => {
    const now = performance.now()
    if (now - (lastAt.get(what) ?? Number.NEGATIVE_INFINITY) < ms) return
    lastAt.set(what, now)
    log(what, error)
  }
}

function trustOf(text: string): boolean | string | ((address: string, hop: number) => boolean) {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^\d+$/.test(text) ? (_, hop) => hop < Number(text) : text
}
