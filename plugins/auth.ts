import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ANY_ROOM, createViewer, type Viewer } from '../src/auth/viewer.js'
import type { Config } from '../src/config.js'
import { InvalidUser } from '../src/errors.js'
import { isUserId, shown } from '../src/event.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is behind the request; set before any handler of a Tidings route runs. */
    viewer: Viewer
  }
}

// Open mode: whoever the URL says.
async function auth(app: FastifyInstance, _: { config: Config }): Promise<void> {
  app.decorateRequest('viewer')
  app.addHook('onRequest', async (request: FastifyRequest<{ Querystring: { user?: string } }>) => {
    const userId = request.query.user ?? 'anonymous'
    if (!isUserId(userId)) throw new InvalidUser(shown(String(userId)), 'the query parameter user')
    request.viewer = createViewer({ userId, kind: 'open', follow: [ANY_ROOM], publish: [ANY_ROOM] })
  })
}

export default fp(auth, { name: 'tidings-auth', fastify: '5.x' })
