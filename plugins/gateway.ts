import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Adapters } from '../src/adapters.js'
import type { Config } from '../src/config/config.js'
import { Gateway } from '../src/gateway.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The gateway: `emit`, `broadcast`, `publish`, `publishMany`. */
    tidings: Gateway
  }
}

/** What the gateway plugin is made with. */
export interface GatewayPluginOptions {
  readonly config: Config
  readonly adapters: Adapters
}

// Owns the life of the gateway and its adapters: starts them with the application, ends all streams before the server waits for its
// connections, and closes the rest when every request was answered.
async function gateway(app: FastifyInstance, { config, adapters }: GatewayPluginOptions): Promise<void> {
  const { bus, clock } = adapters
  const tidings = new Gateway({ ...limitsOf(config), bus, clock, log: app.log })
  app.decorate('tidings', tidings)
  app.addHook('onReady', async () => {
    tidings.start()
    // Behind everything that listens: access has registered by now.
    adapters.connect()
  })
  // `app.close()` would wait forever for streams that nobody ended.
  app.addHook('preClose', () => tidings.endStreams())
  // Behind the end of the server: a publish that comes before it is taken and answered.
  app.addHook('onClose', async () => {
    await tidings.close()
    adapters.close()
  })
}

// The options of a configuration hold secrets, which the gateway has no use for.
function limitsOf({
  heartbeatMs,
  connectionMaxAgeMs,
  maxConnections,
  maxConnectionsPerUser,
  maxEventBytes,
  queueLimitBytes,
}: Config) {
  return { heartbeatMs, connectionMaxAgeMs, maxConnections, maxConnectionsPerUser, maxEventBytes, queueLimitBytes }
}

export default fp(gateway, { name: 'tidings-gateway', fastify: '5.x' })
