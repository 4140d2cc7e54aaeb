import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { SocketWatch } from '../src/http/socket-watch.js'

const REPORT_MS = 10_000

// For the gateway's own server: a shutdown is announced to its sockets, and requests that arrive before the close are answered.
async function sockets(app: FastifyInstance, { watch }: { watch: SocketWatch }): Promise<void> {
  const { leaving } = app.tidings
  leaving.addEventListener('abort', () => watch.leave())
  // This hook runs after the gateway's, which has ended the streams.
  app.addHook('preClose', () => watch.close())
  let reported = 0
  const report = setInterval(() => {
    const count = watch.evicted - reported
    reported = watch.evicted
    if (count > 0)
      app.log.warn({ count }, 'sockets were cut: too many waited without a request, or too much was left unread')
  }, REPORT_MS).unref()
  app.addHook('onClose', async () => clearInterval(report))
}

export default fp(sockets, { name: 'tidings-sockets', fastify: '5.x', dependencies: ['tidings-gateway'] })
