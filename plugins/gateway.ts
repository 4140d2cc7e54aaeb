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

/** Options of the gateway plugin. */
export interface GatewayPluginOptions {
  readonly config: Config
  readonly adapters: Adapters
}

// Owns the life of the gateway and its adapters. It starts them with the application, ends all streams before the server waits
// for its connections, and closes the rest once every request is answered.
async function gateway(app: FastifyInstance, { config, adapters }: GatewayPluginOptions): Promise<void> {
  const { bus, clock } = adapters
  const tidings = new Gateway({ ...limitsOf(config), bus, clock, log: app.log })
  app.decorate('tidings', tidings)
  app.addHook('onReady', async () => {
    tidings.start()
    // Connect last: by now every listener, such as access, is registered and misses no message.
    adapters.connect()
  })
  // Otherwise `app.close()` would wait for open streams for ever.
  app.addHook('preClose', () => tidings.endStreams())
  // After the server has closed: a publish that arrives before is still taken and answered.
  app.addHook('onClose', async () => {
    await tidings.close()
    adapters.close()
  })
}

// Only these values: the rest of the configuration holds secrets, which the gateway does not need.
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
