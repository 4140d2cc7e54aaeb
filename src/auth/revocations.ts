import { MAX_TOKEN_LIFE_MS } from './jwt.js'
import type { Viewer } from './viewer.js'

/** What replicas share about revoked users. @throws AccessUnavailable  from every method */
export interface RevocationStore {
  /** Remembers that the users' credentials made at or before these moments (ms since 1970) are void. */
  put(revoked: ReadonlyMap<string, number>): Promise<void>
  /** Everything that is remembered. */
  all(): Promise<Map<string, number>>
}

/** For a single process: what it remembers by itself is all there is. */
export const NO_REVOCATION_STORE: RevocationStore = {
  put: async () => {},
  all: async () => new Map(),
}

/** What this replica knows of revoked users; asked at each open, so it must not ask Redis. */
export class Revocations {
  readonly #revokedAt = new Map<string, number>()

  /** Takes notice; `true` when it is news. */
  note(userId: string, at: number): boolean {
    if ((this.#revokedAt.get(userId) ?? Number.NEGATIVE_INFINITY) >= at) return false
    this.#revokedAt.set(userId, at)
    return true
  }

  /** True when the viewer's credential was made before its user was revoked. Tokens say when in whole seconds, rounded down. */
  covers({ userId, issuedAt, kind }: Pick<Viewer, 'userId' | 'issuedAt' | 'kind'>): boolean {
    if (kind !== 'user' || issuedAt === null) return false
    return issuedAt <= (this.#revokedAt.get(userId) ?? Number.NEGATIVE_INFINITY)
  }

  /** What is known here and not, or not as late, in `others`. Forgets what no token can outlive. */
  missingFrom(others: ReadonlyMap<string, number>, now: number): Map<string, number> {
    const missing = new Map<string, number>()
    for (const [userId, at] of this.#revokedAt) {
      if (at < now - MAX_TOKEN_LIFE_MS) this.#revokedAt.delete(userId)
      else if ((others.get(userId) ?? Number.NEGATIVE_INFINITY) < at) missing.set(userId, at)
    }
    return missing
  }
}
