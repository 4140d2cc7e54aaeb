import Fastify, { type FastifyInstance, type FastifyPluginAsync, LogController } from 'fastify'
import fp from 'fastify-plugin'
import authPlugin from '../plugins/auth.js'
import errorsPlugin, { answerError } from '../plugins/errors.js'
import gatewayPlugin from '../plugins/gateway.js'
import healthPlugin from '../plugins/health.js'
import homePlugin from '../plugins/home.js'
import metricsPlugin from '../plugins/metrics.js'
import openapiPlugin from '../plugins/openapi.js'
import publishPlugin from '../plugins/publish.js'
import streamPlugin from '../plugins/stream.js'
import type { Bus } from './bus/bus.js'
import { MemoryBus } from './bus/memory.js'
import { RedisBus } from './bus/redis.js'
import { type Config, checkOptions, isOpen } from './config.js'
import { NotFound } from './errors.js'
import { shown } from './event.js'
import { RedisLink } from './redis.js'
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
  // First: it measures the publish routes as they are added.
  if (!without.includes('metrics')) await app.register(metricsPlugin, { config })
  if (!without.includes('stream')) await app.register(streamPlugin, { config })
  if (!without.includes('publish')) await app.register(publishPlugin, { config })
  if (!without.includes('health')) await app.register(healthPlugin)
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
    await app.register(authPlugin, { config })
    await app.register(routes, { prefix, config, without })
  },
  { name: 'tidings', fastify: '5.x' },
)
export default tidings

/** The gateway as a server of its own; not listening yet. */
export async function buildApp(config: Config): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { level: config.logLevel, base: null },
    // Request lines hold tickets and tokens; what matters is logged by name instead.
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: trustOf(config.trustProxy),
    routerOptions: { maxParamLength: 256 },
    forceCloseConnections: true,
    // URLs that never reach a route, and so no error handler either.
    frameworkErrors: answerError,
  })
  app.setNotFoundHandler(request => {
    throw new NotFound(request.method, shown(request.url.split('?')[0]!))
  })
  await app.register(errorsPlugin)
  await app.register(openapiPlugin, { version })
  await app.register(tidings, { ...config })
  if (isOpen(config)) await app.register(homePlugin)
  return app
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
