import type { RedisClock } from '../clock.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { RedisRevocations } from './redis-revocations.js'
import { RedisSightings } from './redis-sightings.js'
import { RedisTickets } from './redis-tickets.js'
import type { AccessStores } from './stores.js'

/** The stores of all replicas on one Redis. `lifeMs` is the longest that a credential lives. */
export function redisStores(link: RedisLink, names: RedisNames, clock: RedisClock, lifeMs: number): AccessStores {
  return {
    tickets: new RedisTickets(link, names),
    revocations: new RedisRevocations(link, names, clock, lifeMs),
    sightings: new RedisSightings(link, names, clock),
  }
}
