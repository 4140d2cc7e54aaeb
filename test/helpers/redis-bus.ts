import type { BusOptions } from '../../src/bus/bus.js'
import { RedisBus } from '../../src/bus/redis.js'
import { RedisLink } from '../../src/redis/link.js'
import { RedisNames } from '../../src/redis/names.js'

/** Options of a test's Redis bus. */
export interface RedisBusSetup extends Partial<BusOptions> {
  readonly prefix?: string
  readonly waitReplicas?: number
  readonly waitMs?: number
  readonly onTrouble?: (error: unknown, what: string) => void
  /** Told of trouble with a connection. */
  readonly onLinkTrouble?: (error: Error) => void
}

/** Makes a Redis bus that is not connected yet. Its link connects and closes with it. */
export function createRedisBus(url: string, setup: RedisBusSetup = {}): { bus: RedisBus; link: RedisLink } {
  const { onLinkTrouble } = setup
  const link = new RedisLink({ url, ...(onLinkTrouble && { onTrouble: onLinkTrouble }) })
  const { historySize = 1_000, historyTtlMs = 60_000, prefix = 'test:', waitReplicas = 0, waitMs = 500 } = setup
  const { onTrouble = () => {} } = setup
  const names = new RedisNames(prefix, link.address.db)
  const bus = new RedisBus({ link, names, historySize, historyTtlMs, waitReplicas, waitMs, onTrouble })
  // The order of src/adapters.ts: the link connects after the bus, and closes after it.
  const [connect, close] = [bus.connect.bind(bus), bus.close.bind(bus)]
  bus.connect = subscriber => {
    connect(subscriber)
    link.connect()
  }
  bus.close = async () => {
    await close()
    link.close()
  }
  return { bus, link }
}
