import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Options of the OpenAPI plugin. */
export interface OpenapiOptions {
  /** The product's version. */
  readonly version: string
}

// Only the page's own scripts and styles run, and they may connect only to this gateway. Its pictures are data URLs inside them.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

// Describes every route that is registered after it.
async function openapi(app: FastifyInstance, { version }: OpenapiOptions): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Tidings', version, description: 'Server-Sent Events gateway.' },
      tags: [
        { name: 'stream', description: 'For readers' },
        { name: 'publish', description: 'For publishers' },
        { name: 'access', description: 'For servers: make tickets, end access' },
        { name: 'probes', description: 'For operators' },
      ],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
    },
  })
  await app.register(async page => {
    page.addHook('onSend', async (_, reply) => {
      reply.header('x-content-type-options', 'nosniff').header('referrer-policy', 'no-referrer')
    })
    // Swagger UI would show a badge from a validator on the internet, and send it the document's URL.
    await page.register(swaggerUi, { routePrefix: '/docs', staticCSP: POLICY, uiConfig: { validatorUrl: null } })
    page.get('/openapi.json', { schema: { hide: true } }, async (_, reply) =>
      reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'").send(app.swagger()),
    )
  })
}

export default fp(openapi, { name: 'tidings-openapi', fastify: '5.x' })
