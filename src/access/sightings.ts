import { hash } from 'node:crypto'
import type { Clock } from '../clock.js'
import type { Revocations } from './revocations.js'
import type { Viewer } from '../auth/viewer.js'

/**
 * When credentials were first shown, as all replicas know it; each by a hash of it.
 * @throws AccessUnavailable  from every method
 */
export interface SightingStore {
  /** Remembers that it is shown now, unless it was before; resolves with the first time. Both in ms since 1970. */
  note(credential: string, until: number): Promise<number>
  /** The first time that it was noted; `null` for never. */
  find(credential: string): Promise<number | null>
}

/**
 * When the viewer's credential counts as made, in ms since 1970: when it says, but no later than it was first shown here.
 * So one that is dated ahead does not outlive a revocation. Asks the store only about those that are ahead of the clock, and
 * about those that would pass as younger than a revocation of their user.
 * @throws AccessUnavailable  the store cannot be asked
 */
export type DateOf = (credential: string, viewer: Viewer) => Promise<number | null>

/** What dates are found with. `lifeMs` is how long one without an end is remembered. */
export interface DateOptions {
  readonly clock: Clock
  readonly sightings: SightingStore
  readonly revocations: Revocations
  readonly lifeMs: number
}

/** Makes the function that dates credentials. */
export function createDateOf({ clock, sightings, revocations, lifeMs }: DateOptions): DateOf {
  return async (credential, { userId, issuedAt, expiresAt }) => {
    if (issuedAt === null) return null
    const now = clock.now()
    if (issuedAt > now) return Math.min(issuedAt, await sightings.note(credential, expiresAt ?? now + lifeMs))
    const revokedAt = revocations.revokedAt(userId)
    if (revokedAt === null || issuedAt <= revokedAt) return issuedAt
    return Math.min(issuedAt, (await sightings.find(credential)) ?? issuedAt)
  }
}

/** What an application's viewer is known as: applications show no credential, but say whose it is and of when. */
export function sessionIdOf({ userId, issuedAt }: Viewer): string {
  return hash('sha256', `${userId}\n${issuedAt}`, 'base64url')
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

  // Oldest out, where none is over: a map keeps the order of arrival. A tenth at once, so that it is not looked through each time.
  #makeRoom(now: number): void {
    for (const [credential, { until }] of this.#seen) if (until <= now) this.#seen.delete(credential)
    const room = Math.ceil(this.#limit / 10)
    for (const credential of this.#seen.keys()) {
      if (this.#seen.size <= this.#limit - room) break
      this.#seen.delete(credential)
    }
  }
}
