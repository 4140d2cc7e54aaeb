import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** What the OpenAPI plugin is made with. */
export interface OpenapiOptions {
  /** The product's version. */
  readonly version: string
}

// Describes every route that is registered after it.
async function openapi(app: FastifyInstance, { version }: OpenapiOptions): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Tidings', version, description: 'Server-Sent Events gateway.' },
      tags: [
        { name: 'stream', description: 'For readers' },
        { name: 'publish', description: 'For publishers' },
        { name: 'access', description: 'Tickets and ends of access' },
        { name: 'probes', description: 'For operators' },
      ],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
    },
  })
  await app.register(swaggerUi, { routePrefix: '/docs' })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
}

export default fp(openapi, { name: 'tidings-openapi', fastify: '5.x' })
