import { setTimeout as delay } from 'node:timers/promises'
import { RedisCounter } from './bus/redis-counter.js'
import { throwAsBusError } from './bus/redis-failure.js'
import { RedisPublisher } from './bus/redis-publisher.js'
import { checkOptions } from './config/check.js'
import type { Config } from './config/config.js'
import { type Draft, withKey } from './draft.js'
import type { Published } from './event.js'
import { BusUnavailable, BusUncertain, Closed } from './failures.js'
import { createPublisher, type Publisher } from './publisher.js'
import { RedisLink } from './redis/link.js'
import { RedisNames } from './redis/names.js'

// The types and errors that the signatures below mention.
export {
  BatchTooLarge,
  EventTooLarge,
  InvalidData,
  InvalidItem,
  InvalidKey,
  InvalidRoom,
  InvalidType,
  InvalidUser,
} from './errors.js'
export type { Published } from './event.js'
export { BusUnavailable, BusUncertain, Closed, InvalidConfig } from './failures.js'
export type { AddressedInput, EventInput, Publisher } from './publisher.js'

/** Options of an emitter. What they share with the gateway must be the same there. */
export interface EmitterOptions {
  readonly redisUrl: string
  /** `REDIS_PREFIX` of the gateways. Default `tidings:`. */
  readonly prefix?: string
  readonly historySize?: number
  readonly historyTtlMs?: number
  readonly maxEventBytes?: number
  readonly redisWaitReplicas?: number
  readonly redisWaitMs?: number
  /** How long a publish waits for Redis to be there before it fails with `BusUnavailable`, in ms. Default 5000. */
  readonly connectTimeoutMs?: number
  /**
   * Until when a publish is repeated while Redis is away, in ms from its start. Default 0: not repeated. Without a key of its
   * own, an event gets one, so that repeating it never publishes it twice.
   */
  readonly retryForMs?: number
  /** Told of trouble with Redis; the emitter reconnects by itself. */
  readonly onTrouble?: (error: Error) => void
}

/** Publishes straight through Redis, without a gateway. */
export interface Emitter extends Publisher {
  /** Waits for publishes under way, then disconnects. Later publishes fail with `Closed`. Idempotent. */
  close(): Promise<void>
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5_000
const RETRY_DELAY_MS = 200

/**
 * An emitter for workers: same events, same ids, same errors as a gateway's `emit`, `broadcast`, `publish`, `publishMany`.
 * Connects in the background; the first publish waits for it.
 * @throws InvalidConfig  for a bad option
 */
export function createEmitter(options: EmitterOptions): Emitter {
  const config = checkOptions(configOf(options))
  const link = new RedisLink({
    url: options.redisUrl,
    ...(options.onTrouble === undefined ? {} : { onTrouble: options.onTrouble }),
  })
  const names = new RedisNames(config.redisPrefix, link.address.db)
  const publisher = new RedisPublisher({
    historySize: config.historySize,
    historyTtlMs: config.historyTtlMs,
    link,
    names,
    counter: new RedisCounter(link, names),
    waitReplicas: config.redisWaitReplicas,
    waitMs: config.redisWaitMs,
  })
  const { connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, retryForMs = 0 } = options
  let isClosed = false

  const take = async (drafts: readonly Draft[]): Promise<Published[]> => {
    const startedAt = performance.now()
    const left = (limitMs: number) => startedAt + limitMs - performance.now()
    const keyed = retryForMs > 0 ? drafts.map(draft => withKey(draft, crypto.randomUUID())) : drafts
    for (;;) {
      try {
        await whenReady(left(Math.max(connectTimeoutMs, retryForMs)))
        return await publisher.publish(keyed)
      } catch (error) {
        const isPassing = error instanceof BusUnavailable || error instanceof BusUncertain
        if (!isPassing || isClosed || left(retryForMs) <= RETRY_DELAY_MS) throw error
        await delay(RETRY_DELAY_MS)
      }
    }
  }

  const whenReady = async (timeoutMs: number): Promise<void> => {
    if (isClosed) throw new Closed('emitter')
    if (link.isReady) return
    await link.whenReady(Math.max(0, timeoutMs)).catch(throwAsBusError)
    if (isClosed) throw new Closed('emitter')
  }

  link.connect({ subscriber: false })
  return {
    ...createPublisher(take, config.maxEventBytes),
    close: async () => {
      if (isClosed) return
      isClosed = true
      await publisher.close()
      link.close()
    },
  }
}

function configOf(options: EmitterOptions): Partial<Config> {
  const { redisUrl, prefix, historySize, historyTtlMs, maxEventBytes, redisWaitReplicas, redisWaitMs } = options
  const given = {
    adapter: 'redis' as const,
    redisUrl,
    redisPrefix: prefix,
    historySize,
    historyTtlMs,
    maxEventBytes,
    redisWaitReplicas,
    redisWaitMs,
  }
  // Safe: what is left out takes its default.
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<Config>
}
