import { hash } from 'node:crypto'
import type { DateOf, Viewer } from '../auth/viewer.js'
import type { Clock } from '../clock.js'
import type { Revocations } from './revocations.js'

/**
 * Remembers when credentials were first shown to any replica. A credential is named by its hash.
 * @throws AccessUnavailable  from every method
 */
export interface SightingStore {
  /** Notes that the credential is shown now, unless it was before, and remembers it until `until`; resolves with the first time (ms since 1970). */
  note(credential: string, until: number): Promise<number>
  /** When it was noted first, in ms since 1970; `null` for never. */
  find(credential: string): Promise<number | null>
}

/** What `createDateOf` works with. A credential without an end is remembered for `lifeMs`. */
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

/** The name of an application's viewer in the store: applications show no credential, but say the user and the date. */
export function sessionIdOf({ userId, issuedAt }: Viewer): string {
  return hash('sha256', `${userId}\n${issuedAt}`, 'base64url')
}
