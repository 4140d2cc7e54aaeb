import { RedisRevocations, RedisTickets } from './auth/redis-access.js'
import { NO_REVOCATION_STORE, type RevocationStore } from './auth/revocations.js'
import { MemoryTickets, type TicketStore } from './auth/tickets.js'
import type { Bus } from './bus/bus.js'
import { MemoryBus } from './bus/memory.js'
import { RedisBus } from './bus/redis.js'
import { RedisSignals } from './bus/redis-signals.js'
import { MemorySignals, type Signals } from './bus/signals.js'
import type { Config } from './config.js'
import type { SharedBuckets } from './limits/exchange.js'
import { redisBuckets } from './limits/redis.js'
import type { Log } from './log.js'
import { RedisLink } from './redis/link.js'
import { RedisNames } from './redis/names.js'

/** Everything that replicas share. The bus opens and closes the connections of all of it. */
export interface Shared {
  readonly bus: Bus
  readonly signals: Signals
  readonly tickets: TicketStore
  readonly revocations: RevocationStore
  /** Where replicas add up what counts against the limit of this name; `null` where there is one replica. */
  readonly rates: ((limit: string) => SharedBuckets) | null
}

const TROUBLE_LOG_MS = 10_000

/** What the adapter that is configured shares. Nothing is connected yet. */
export function createShared(config: Config, log: Log): Shared {
  if (config.adapter === 'memory') {
    return {
      bus: new MemoryBus(config),
      signals: new MemorySignals(),
      tickets: new MemoryTickets(),
      revocations: NO_REVOCATION_STORE,
      rates: null,
    }
  }
  // Trouble repeats while Redis is away; a line of a kind now and then is enough.
  const warn = atMostEvery(TROUBLE_LOG_MS, (what: string, error: unknown) => log.warn({ err: error }, what))
  const link = new RedisLink({
    url: config.redisUrl!,
    onTrouble: (error, connection) => warn(`Redis ${connection}: connection trouble, trying again`, error),
  })
  const bus = new RedisBus({
    ...config,
    link,
    prefix: config.redisPrefix,
    waitReplicas: config.redisWaitReplicas,
    waitMs: config.redisWaitMs,
    onTrouble: (error, what) => warn(`bus: ${what}`, error),
  })
  const names = new RedisNames(config.redisPrefix)
  return {
    bus,
    signals: new RedisSignals(link, names),
    tickets: new RedisTickets(link, names),
    revocations: new RedisRevocations(link, names),
    rates: limit => redisBuckets(link, names, limit),
  }
}

function atMostEvery(ms: number, log: (what: string, error: unknown) => void): (what: string, error: unknown) => void {
  const lastAt = new Map<string, number>()
  return (what, error) => {
    const now = performance.now()
    if (now - (lastAt.get(what) ?? Number.NEGATIVE_INFINITY) < ms) return
    lastAt.set(what, now)
    log(what, error)
  }
}
