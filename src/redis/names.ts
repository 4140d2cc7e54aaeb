/** Part of every key and channel, so that a bus lives in one slot of a cluster. */
export const HASH_TAG = '{0}'

/** The channels and keys of one bus. They share a hash tag, so that they live in one slot of a cluster. */
export class RedisNames {
  readonly #base: string

  constructor(prefix: string) {
    this.#base = `${prefix}${HASH_TAG}:`
  }

  /** Hash: life, epoch, seq, replid and lineage of the counter. */
  get state(): string {
    return `${this.#base}state`
  }

  /** Channel of events and beacons. */
  get events(): string {
    return `${this.#base}events`
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

  /** Any other key or channel of this bus. */
  other(name: string): string {
    return `${this.#base}${name}`
  }
}
