import type { FastifyRateLimitStore, FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'

const script = loadScript(import.meta.url, 'rate.lua')

// Counting must not hold up what it counts: past this the request goes on uncounted.
const ANSWER_TIMEOUT_MS = 300

type Counted = { current: number; ttl: number }

/** A store for @fastify/rate-limit on the bus's connection: one count for all replicas. */
export function redisRateStore(link: RedisLink, names: RedisNames): FastifyRateLimitStoreCtor {
  return class RedisRates implements FastifyRateLimitStore {
    incr(key: string, callback: (error: Error | null, counted?: Counted) => void, windowMs: number): void {
      const deadline = performance.now() + ANSWER_TIMEOUT_MS
      link.run(script, [names.other(`rate:${key}`)], [windowMs], deadline).then(
        answer => {
          // Safe: rate.lua returns two integers.
          const [current, ttl] = answer as [number, number]
          callback(null, { current, ttl })
        },
        (error: Error) => callback(error),
      )
    }

    child(): RedisRates {
      return this
    }
  }
}
