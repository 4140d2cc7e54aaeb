import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

const CLOSE_GRACE_MS = 500

// What a server of HTTPS with HTTP/2 needs beyond Fastify, which only asks HTTP/2 sessions to end: whoever does not, and every
// connection that has sent no request yet, would keep `close()` waiting.
async function https(app: FastifyInstance): Promise<void> {
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  // Behind the gateway's: streams have ended by then.
  app.addHook('preClose', async () => {
    setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, CLOSE_GRACE_MS).unref()
  })
}

export default fp(https, { name: 'tidings-https', fastify: '5.x', dependencies: ['tidings-gateway'] })
