import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'
import type { SharedBuckets } from './exchange.js'

const script = loadScript(import.meta.url, 'rate.lua')

// A request near its limit waits for the answer; past this the replica decides alone.
const ANSWER_TIMEOUT_MS = 300

/** The buckets of the limit `name` in Redis, on the bus's connection. */
export function redisBuckets(link: RedisLink, names: RedisNames, name: string): SharedBuckets {
  return {
    async add(charges) {
      const keys = charges.map(({ who }) => names.of('limit', name, who))
      const costs = charges.map(({ costMs }) => costMs.toFixed(3))
      const debts = await link.run(script, keys, costs, performance.now() + ANSWER_TIMEOUT_MS)
      // Safe: rate.lua returns one text for each key.
      return (debts as string[]).map(Number)
    },
  }
}
