import rateLimit, { type FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../src/config.js'
import { RateLimited } from '../src/errors.js'

/** A hook that runs after the viewer is known. */
export type LimitHook = (request: FastifyRequest, reply: FastifyReply) => Promise<void>

declare module 'fastify' {
  interface FastifyInstance {
    /** What counts requests of each kind; `null` where there is no limit, so that it costs nothing. */
    tidingsLimits: { readonly publish: LimitHook | null; readonly connect: LimitHook | null }
  }
}

/** What the limits plugin is made with. */
export interface LimitsOptions {
  readonly config: Config
  /** Where requests are counted; `null` for this process's memory. */
  readonly store: FastifyRateLimitStoreCtor | null
}

const PUBLISH_WINDOW_MS = 1_000
const CONNECT_WINDOW_MS = 60_000
/** Publishers and viewers that are counted at once, without Redis. */
const COUNTED_AT_ONCE = 100_000

// Request rates. One over its limit is refused with 429; the stream's door turns that into an answer that EventSource comes
// back from.
async function limits(app: FastifyInstance, { config, store }: LimitsOptions): Promise<void> {
  const { rateLimitPublish, rateLimitConnect } = config
  if (rateLimitPublish > 0 || rateLimitConnect > 0) {
    await app.register(rateLimit, {
      global: false,
      cache: COUNTED_AT_ONCE,
      // Without Redis nothing is published anyway, and readers must be able to come back.
      skipOnError: true,
      ...(store === null ? {} : { store }),
    })
  }
  const limit = (kind: string, max: number, timeWindow: number, what: string): LimitHook | null => {
    if (max === 0) return null
    const count = app.createRateLimit({ max, timeWindow, keyGenerator: request => `${kind}:${whoOf(request)}` })
    return async (request, reply) => {
      const counted = await count(request)
      if (counted.isAllowed || !counted.isExceeded) return
      const retryS = Math.max(1, counted.ttlInSeconds)
      reply.header('retry-after', retryS)
      throw new RateLimited(max, what, retryS)
    }
  }
  app.decorate('tidingsLimits', {
    publish: limit('publish', rateLimitPublish, PUBLISH_WINDOW_MS, 'publish requests a second (RATE_LIMIT_PUBLISH)'),
    connect: limit('connect', rateLimitConnect, CONNECT_WINDOW_MS, 'new streams a minute (RATE_LIMIT_CONNECT)'),
  })
}

// In open mode users are only said, so the address counts.
function whoOf({ viewer: { kind, userId }, ip }: FastifyRequest): string {
  return kind === 'open' ? `address:${ip}` : `${kind}:${userId}`
}

export default fp(limits, { name: 'tidings-limits', fastify: '5.x', dependencies: ['tidings-auth'] })
