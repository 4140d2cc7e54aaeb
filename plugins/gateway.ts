import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Bus } from '../src/bus/bus.js'
import type { Clock } from '../src/clock.js'
import type { Config } from '../src/config.js'
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
  readonly bus: Bus
  readonly clock: Clock
}

// Owns the gateway's life: starts with the application, ends all streams before the server waits for its connections, and
// closes the bus when every request was answered.
async function gateway(app: FastifyInstance, { config, bus, clock }: GatewayPluginOptions): Promise<void> {
  const tidings = new Gateway({ ...config, bus, clock, log: app.log })
  app.decorate('tidings', tidings)
  app.addHook('onReady', () => tidings.start())
  // `app.close()` would wait forever for streams that nobody ended.
  app.addHook('preClose', () => tidings.endStreams())
  // Behind the end of the server: a publish that comes before it is taken and answered.
  app.addHook('onClose', () => tidings.close())
}

export default fp(gateway, { name: 'tidings-gateway', fastify: '5.x' })
