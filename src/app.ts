import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import authPlugin from '../plugins/auth.js'
import errorsPlugin from '../plugins/errors.js'
import gatewayPlugin from '../plugins/gateway.js'
import healthPlugin from '../plugins/health.js'
import openapiPlugin from '../plugins/openapi.js'
import publishPlugin from '../plugins/publish.js'
import streamPlugin from '../plugins/stream.js'
import type { Bus } from './bus/bus.js'
import { MemoryBus } from './bus/memory.js'
import { type Config, checkOptions } from './config.js'
import { NotFound } from './errors.js'
import { shown } from './event.js'
import { version } from './version.js'

/** Groups of routes that an embedding application may leave out. */
export type RouteGroup = 'stream' | 'publish' | 'health'

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
    disableRequestLogging: true,
    trustProxy: trustOf(config.trustProxy),
    routerOptions: { maxParamLength: 256 },
    forceCloseConnections: true,
  })
  app.setNotFoundHandler(request => {
    throw new NotFound(request.method, shown(request.url.split('?')[0]!))
  })
  await app.register(errorsPlugin)
  await app.register(openapiPlugin, { version })
  await app.register(tidings, { ...config })
  return app
}

function createBus(config: Config, _app: FastifyInstance): Bus {
  return new MemoryBus(config)
}

function trustOf(text: string): boolean | string | ((address: string, hop: number) => boolean) {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^\d+$/.test(text) ? (_, hop) => hop < Number(text) : text
}
