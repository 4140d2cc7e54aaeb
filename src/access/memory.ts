import { type Clock, MAX_STEP_BACK_MS } from '../clock.js'
import { MemoryTickets } from './memory-tickets.js'
import { type RevocationStore, Revocations } from './revocations.js'
import type { SightingStore } from './sightings.js'
import type { AccessStores } from './stores.js'

/** The stores of a single process. `lifeMs` is the longest that a credential lives. */
export function memoryStores(clock: Clock, lifeMs: number): AccessStores {
  return {
    tickets: new MemoryTickets(clock),
    revocations: new MemoryRevocations(clock, lifeMs),
    sightings: new MemorySightings(clock),
  }
}

/** Revocations of a single process. */
export class MemoryRevocations implements RevocationStore {
  readonly known: Revocations
  readonly isShared = false
  readonly #clock: Clock

  constructor(clock: Clock, lifeMs: number) {
    this.#clock = clock
    this.known = new Revocations(clock, lifeMs)
  }

  async revoke(userId: string): Promise<number> {
    const now = this.#clock.now()
    const { latest } = this.#clock
    // If the clock was set back: credentials made while it was ahead are revoked, too.
    const at = latest > now ? Math.min(latest + 1_000, now + MAX_STEP_BACK_MS) : now
    this.known.note(userId, at)
    return this.known.revokedAt(userId)!
  }

  async ask(): Promise<void> {}

  async learn(): Promise<boolean> {
    return false
  }

  async restore(): Promise<boolean> {
    return false
  }
}

const MAX_SIGHTINGS = 100_000

/** Sightings of a single process: the newest hundred thousand. */
export class MemorySightings implements SightingStore {
  readonly #seen = new Map<string, { readonly at: number; readonly until: number }>()
  readonly #clock: Clock
  readonly #limit: number

  constructor(clock: Clock, limit = MAX_SIGHTINGS) {
    this.#clock = clock
    this.#limit = limit
  }

  async note(credential: string, until: number): Promise<number> {
    const known = this.#seen.get(credential)
    if (known !== undefined) return known.at
    const at = this.#clock.now()
    if (this.#seen.size >= this.#limit) this.#makeRoom(at)
    if (until > at) this.#seen.set(credential, { at, until })
    return at
  }

  async find(credential: string): Promise<number | null> {
    return this.#seen.get(credential)?.at ?? null
  }

  // Drops sightings that are over, then the oldest (a map keeps the order of arrival). A tenth goes at once, so that not each new sighting
  // looks through all.
  #makeRoom(now: number): void {
    for (const [credential, { until }] of this.#seen) if (until <= now) this.#seen.delete(credential)
    const room = Math.ceil(this.#limit / 10)
    for (const credential of this.#seen.keys()) {
      if (this.#seen.size <= this.#limit - room) break
      this.#seen.delete(credential)
    }
  }
}
