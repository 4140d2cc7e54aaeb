import { rememberedMs } from './auth/jwt.js'
import { MemoryTickets } from './access/memory-tickets.js'
import { RedisSightings, RedisTickets } from './access/redis-tickets.js'
import { RedisRevocations } from './access/redis-revocations.js'
import { MemoryRevocations, type RevocationStore } from './access/revocations.js'
import { createDateOf, type DateOf, MemorySightings } from './access/sightings.js'
import { MAX_SESSION_MS, type TicketStore } from './access/tickets.js'
import type { Bus } from './bus/bus.js'
import { MemoryBus } from './bus/memory.js'
import { RedisBus } from './bus/redis.js'
import { RedisSignals } from './replicas/redis.js'
import { MemorySignals, type Signals } from './replicas/replicas.js'
import { type Clock, ProcessClock, RedisClock } from './clock.js'
import type { Config } from './config.js'
import type { SharedBuckets } from './limits/exchange.js'
import { redisBuckets } from './limits/redis.js'
import { atMostEvery, type Log } from './log.js'
import { RedisLink } from './redis/link.js'
import { RedisNames } from './redis/names.js'

/** Everything that replicas share. The bus opens and closes the connections of all of it. */
export interface Shared {
  readonly bus: Bus
  readonly signals: Signals
  readonly tickets: TicketStore
  readonly revocations: RevocationStore
  /** The time that decides about credentials. */
  readonly clock: Clock
  readonly dateOf: DateOf
  /** Where replicas add up what counts against the limit of this name; `null` where there is one replica. */
  readonly rates: ((limit: string) => SharedBuckets) | null
}

const TROUBLE_LOG_MS = 10_000

/**
 * What the adapter that is configured shares. Nothing is connected yet. `hasOwnViewers`: an application says who its viewers
 * are.
 */
export function createShared(config: Config, log: Log, hasOwnViewers = false): Shared {
  const lifeMs = longestLifeMs(config, hasOwnViewers)
  if (config.adapter === 'memory') {
    const clock = new ProcessClock()
    const revocations = new MemoryRevocations(clock, lifeMs)
    const sightings = new MemorySightings(clock)
    return {
      bus: new MemoryBus(config),
      signals: new MemorySignals(),
      tickets: new MemoryTickets(clock),
      revocations,
      clock,
      dateOf: createDateOf({ clock, sightings, revocations: revocations.known, lifeMs }),
      rates: null,
    }
  }
  // Trouble repeats while Redis is away; a line of a kind now and then is enough.
  const isDue = atMostEvery(TROUBLE_LOG_MS)
  const warn = (what: string, error: unknown) => {
    if (isDue(what)) log.warn({ err: error }, what)
  }
  const link = new RedisLink({
    url: config.redisUrl!,
    onTrouble: (error, connection) => warn(`Redis ${connection}: connection trouble, trying again`, error),
  })
  const names = new RedisNames(config.redisPrefix, link.address.db)
  const signals = new RedisSignals(link, names)
  const clock = new RedisClock()
  const bus = new RedisBus({
    ...config,
    link,
    names,
    waitReplicas: config.redisWaitReplicas,
    waitMs: config.redisWaitMs,
    onTrouble: (error, what) => warn(`bus: ${what}`, error),
    onTime: (time, sentAt) => clock.observe(time, sentAt),
    onNewEpoch: () => signals.miss(),
  })
  const revocations = new RedisRevocations(link, names, clock, lifeMs)
  const sightings = new RedisSightings(link, names, clock)
  return {
    bus,
    signals,
    tickets: new RedisTickets(link, names),
    revocations,
    clock,
    dateOf: createDateOf({ clock, sightings, revocations: revocations.known, lifeMs }),
    rates: limit => redisBuckets(link, names, limit),
  }
}

// How long what was revoked must be remembered: as long as a credential can live that was made before.
function longestLifeMs({ jwtSecret, jwtPublicKey, jwksUrl, tokenMaxLifeMs }: Config, hasOwnViewers: boolean): number {
  const takesTokens = [jwtSecret, jwtPublicKey, jwksUrl].some(verifier => verifier !== undefined)
  const ticketMs = rememberedMs(MAX_SESSION_MS)
  return takesTokens || hasOwnViewers ? Math.max(rememberedMs(tokenMaxLifeMs), ticketMs) : ticketMs
}
