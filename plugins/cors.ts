import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../src/config/config.js'

const PREFLIGHT_MAX_AGE_S = 600

// Lets pages of the listed origins call the routes beside it, with cookies. The headers stand on refusals and streams too:
// otherwise a page could not read why it was refused.
async function crossOrigin(app: FastifyInstance, { config }: { config: Config }): Promise<void> {
  if (config.corsOrigins.length === 0) return
  await app.register(cors, {
    // A list, never a single string: @fastify/cors would send that string to every origin.
    origin: [...config.corsOrigins],
    credentials: true,
    methods: ['GET', 'POST', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key', 'Last-Event-ID', 'Cache-Control'],
    exposedHeaders: ['Retry-After'],
    maxAge: PREFLIGHT_MAX_AGE_S,
  })
}

export default fp(crossOrigin, { name: 'tidings-cors', fastify: '5.x' })
