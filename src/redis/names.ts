/** Part of every key and channel, so that a bus lives in one slot of a cluster. */
export const HASH_TAG = '{0}'

/** The families of keys beside the bus. A new key is a name here, or a getter below. */
export type Family = 'limit' | 'revocations' | 'revoked-tickets' | 'seen' | 'ticket'

/** The channels and keys of one bus and of the families beside it. They share a hash tag, so that they live in one slot of a cluster. */
export class RedisNames {
  readonly #base: string
  readonly #channelBase: string

  /** `db` is the number of the database: keys are in it, but channels are the whole server's, so it is part of their names. */
  constructor(prefix: string, db: number) {
    this.#base = `${prefix}${HASH_TAG}:`
    this.#channelBase = db === 0 ? this.#base : `${this.#base}db${db}:`
  }

  /** Hash: life, epoch, seq, replid and lineage of the counter. */
  get counter(): string {
    return `${this.#base}state`
  }

  /** Channel of events and beacons. */
  get events(): string {
    return `${this.#channelBase}events`
  }

  /** Channel of the questions between replicas. Its text keeps the older word, because replicas of two versions share the channel. */
  get replicas(): string {
    return `${this.#channelBase}signals`
  }

  /** Sorted set: room -> seq of its last event; the empty member holds the highest seq forgotten. */
  rooms(life: string): string {
    return `${this.#base}${life}:rooms`
  }

  /** Stream: a room's history. */
  history(life: string, room: string): string {
    return `${this.#base}${life}:h:${room}`
  }

  /** String: the first answer to an idempotency key of a room. No room and no key holds the line feed between them. */
  key(room: string, key: string): string {
    return `${this.#base}k:${room}\n${key}`
  }

  /** A key of a family; `rest` says which of its keys. */
  of(family: Family, ...rest: readonly string[]): string {
    return `${this.#base}${[family, ...rest].join(':')}`
  }
}
