import { memoryStores } from './access/memory.js'
import { redisStores } from './access/redis.js'
import type { AccessStores } from './access/stores.js'
import type { Bus } from './bus/bus.js'
import { MemoryBus } from './bus/memory.js'
import { RedisBus } from './bus/redis.js'
import { type Clock, ProcessClock, RedisClock } from './clock.js'
import type { Config } from './config/config.js'
import type { SharedBuckets } from './limits/exchange.js'
import { redisBuckets } from './limits/redis.js'
import { atMostEvery, type Log } from './log.js'
import { RedisLink } from './redis/link.js'
import { RedisNames } from './redis/names.js'
import { MemoryReplicas } from './replicas/memory.js'
import { RedisReplicas } from './replicas/redis.js'
import type { Replicas } from './replicas/replicas.js'

/**
 * Everything that replicas share, each port by its contract.
 *
 *   made       ports take their listeners; nothing is connected
 *   connected  from `connect()` on; connections come up in the background and return after every break
 *   closed     from `close()` on
 */
export interface Adapters {
  readonly bus: Bus
  readonly replicas: Replicas
  readonly access: AccessStores
  /** The time that decides about credentials. */
  readonly clock: Clock
  /** Where replicas add up what counts against the limit of this name; `null` where there is one replica. */
  readonly rates: ((limit: string) => SharedBuckets) | null
  /** Opens the connections of all ports. To be called once, when every listener is there. */
  connect(): void
  /** Closes them. To be called when the bus is closed, the last that needs them. Idempotent. */
  close(): void
}

const TROUBLE_LOG_MS = 10_000

/** The ports of the adapter that is configured. `lifeMs` is the longest that a credential lives. */
export function createAdapters(config: Config, lifeMs: number, log: Log): Adapters {
  return config.adapter === 'memory' ? inMemory(config, lifeMs, log) : onRedis(config, lifeMs, log)
}

function inMemory({ historySize, historyTtlMs }: Config, lifeMs: number, log: Log): Adapters {
  const clock = new ProcessClock()
  return {
    bus: new MemoryBus({ historySize, historyTtlMs }),
    replicas: new MemoryReplicas(error => log.warn({ err: error }, 'a command was not carried out')),
    access: memoryStores(clock, lifeMs),
    clock,
    rates: null,
    connect: () => {},
    close: () => {},
  }
}

function onRedis(config: Config, lifeMs: number, log: Log): Adapters {
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
  const replicas = new RedisReplicas(link, names)
  const clock = new RedisClock()
  const bus = new RedisBus({
    link,
    names,
    historySize: config.historySize,
    historyTtlMs: config.historyTtlMs,
    waitReplicas: config.redisWaitReplicas,
    waitMs: config.redisWaitMs,
    onTrouble: (error, what) => warn(`bus: ${what}`, error),
    onTime: (time, sentAt) => clock.observe(time, sentAt),
    onNewEpoch: () => replicas.miss(),
  })
  return {
    bus,
    replicas,
    access: redisStores(link, names, clock, lifeMs),
    clock,
    rates: limit => redisBuckets(link, names, limit),
    connect: () => link.connect(),
    close: () => link.close(),
  }
}
