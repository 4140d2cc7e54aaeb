import { InvalidUser, shown } from '../errors.js'
import { EVERYONE, isUserId, roomOf } from '../room.js'

/** Who is behind a request, what they may do, and when that ends. */
export interface Viewer {
  /** The user whose own room they follow; for a server's API key its name, or the user it acts for. */
  readonly userId: string
  /** `open`: no credentials are configured. `user`: a token or ticket. `server`: an API key. */
  readonly kind: 'open' | 'user' | 'server'
  /** Room patterns they may follow beside their own room and `*`. */
  readonly follow: readonly string[]
  /** Room patterns they may publish to. */
  readonly publish: readonly string[]
  /** When the credential ends, in ms since 1970; `null` for never. */
  readonly expiresAt: number | null
  /** When the credential was made, in ms since 1970; `null` if unknown. Revoking the user ends older credentials. */
  readonly issuedAt: number | null
  /** The hash of the ticket that it came with; `null` for any other credential. */
  readonly ticket: string | null
}

/**
 * When the viewer's credential counts as made, in ms since 1970: at its own date, but no later than it was first shown to any replica. So a
 * credential that is dated ahead does not outlive a revocation. It asks the store only about two kinds: credentials ahead of the clock, and
 * credentials dated after a revocation of their user.
 * @throws AccessUnavailable  the store cannot be asked
 */
export type DateOf = (credential: string, viewer: Viewer) => Promise<number | null>

/** An action on a room. `manage`: to make tickets for its user and end their streams. */
export type Action = 'follow' | 'publish' | 'manage'

/** A viewer as an embedding application describes one. Fields that are left out are `user`, `[]` and `null`. */
export type ViewerInput = Pick<Viewer, 'userId'> & Partial<Omit<Viewer, 'ticket'>>

/** A pattern that every room matches. */
export const ANY_ROOM = '*'

/**
 * Fills in the fields that the application left out.
 * @throws InvalidUser  the id could not be part of a room
 */
export function createViewer(input: ViewerInput): Viewer {
  const { userId, kind = 'user', follow = [], publish = [], expiresAt = null, issuedAt = null } = input
  if (!isUserId(userId)) throw new InvalidUser(shown(String(userId)), 'the viewer')
  return { userId, kind, follow, publish, expiresAt, issuedAt, ticket: null }
}

/** True when the viewer may follow the room: everyone may follow their own room and `*`, a server only what it was given. */
export function mayFollow(viewer: Viewer, room: string): boolean {
  if (room === EVERYONE || (room === roomOf(viewer.userId) && viewer.kind !== 'server')) return true
  return viewer.follow.some(pattern => matches(pattern, room))
}

/** True when the viewer may publish to the room. */
export function mayPublish(viewer: Viewer, room: string): boolean {
  return viewer.publish.some(pattern => matches(pattern, room))
}

/** True when the viewer may make tickets for the room's user and end their streams: servers, within their patterns. */
export function mayManage(viewer: Viewer, room: string): boolean {
  return viewer.kind !== 'user' && mayPublish(viewer, room)
}

/** True when the room is the pattern, or begins with the pattern's text before its trailing `*`. */
export function matches(pattern: string, room: string): boolean {
  return pattern.endsWith('*') ? room.startsWith(pattern.slice(0, -1)) : room === pattern
}

/** True when every room that matches `narrow` also matches one of `patterns`. */
export function covers(patterns: readonly string[], narrow: string): boolean {
  // A trailing `*` of `narrow` is a character like any other here: only a pattern with a shorter beginning matches it.
  return patterns.some(pattern => pattern === narrow || (pattern.endsWith('*') && matches(pattern, narrow)))
}
