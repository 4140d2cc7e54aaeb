import type { Viewer } from '../auth/viewer.js'
import type { Clock } from '../clock.js'
import { RevocationTable, userKeyOf } from './revocation-table.js'

/**
 * What replicas share about revoked users. All times are ms since 1970 by the clock that replicas share.
 * @throws AccessUnavailable  from every method that resolves: a change whose answer was lost may hold all the same
 */
export interface RevocationStore {
  /** The revocations that this replica knows. */
  readonly known: Revocations
  /** False if only this process revokes: then there is nothing to learn. */
  readonly isShared: boolean
  /** Voids every credential that the user got until now; resolves with that time, which is in `known` then. */
  revoke(userId: string): Promise<number>
  /** Notes in `known` when this user was revoked, before `learn` has read it. Costs one round trip. */
  ask(userId: string): Promise<void>
  /**
   * Learns the revocations of other replicas. Resolves with whether there were any. It reads the changes since the last time, and the whole
   * set only if `known` and the store still differ. Calls must not overlap.
   */
  learn(): Promise<boolean>
  /** Puts back revocations that the store lost. Resolves with whether there were any. To be called after `learn`. */
  restore(): Promise<boolean>
}

/** When users were revoked, as far as this replica knows. Every new stream asks it, so it must not ask Redis. */
export class Revocations {
  readonly table = new RevocationTable()
  readonly #clock: Clock
  readonly #lifeMs: number

  /** `lifeMs` is the longest that a credential lives; older revocations are forgotten. */
  constructor(clock: Clock, lifeMs: number) {
    this.#clock = clock
    this.#lifeMs = lifeMs
  }

  /** Notes that the user was revoked; `true` if it is news. */
  note(userId: string, at: number): boolean {
    if (this.table.isFull) this.table.prune(this.#clock.now() - this.#lifeMs)
    const { high, low } = userKeyOf(userId)
    return this.table.set(high, low, Math.floor(at))
  }

  /** When the user was revoked last; `null` for never, as far as it is remembered. */
  revokedAt(userId: string): number | null {
    if (this.table.digest.count === 0) return null
    return this.table.get(userKeyOf(userId)) || null
  }

  /** True if a credential of the user that was made at `issuedAt` is void. Tokens are dated in whole seconds, rounded down. */
  covers(userId: string, issuedAt: number | null): boolean {
    if (issuedAt === null) return false
    return issuedAt <= (this.revokedAt(userId) ?? Number.NEGATIVE_INFINITY)
  }
}

/** True when the viewer's credential was made before its user was revoked. */
export function isRevoked(revocations: Revocations, { userId, issuedAt, kind }: Viewer): boolean {
  return kind === 'user' && revocations.covers(userId, issuedAt)
}
