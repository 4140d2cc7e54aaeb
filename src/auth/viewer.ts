/** Who is behind a request, what they may do, and when that ends. */
export interface Viewer {
  /** The user whose own room they follow; for a server's API key its name. */
  readonly userId: string
  /** `open`: no credentials are configured. `user`: a token or ticket. `server`: an API key. */
  readonly kind: 'open' | 'user' | 'server'
  /** Room patterns they may follow beside their own room and `*`. */
  readonly follow: readonly string[]
  /** Room patterns they may publish to. */
  readonly publish: readonly string[]
  /** When the credential ends, in ms since 1970; `null` for never. */
  readonly expiresAt: number | null
}

/** A pattern that every room matches. */
export const ANY_ROOM = '*'

/** True when the viewer may follow the room: everyone may follow their own room and `*`. */
export function mayFollow(viewer: Viewer, room: string): boolean {
  return room === '*' || room === `user:${viewer.userId}` || viewer.follow.some(pattern => matches(pattern, room))
}

/** True when the viewer may publish to the room. */
export function mayPublish(viewer: Viewer, room: string): boolean {
  return viewer.publish.some(pattern => matches(pattern, room))
}

/** True when the room is the pattern, or begins with what stands before its trailing `*`. */
export function matches(pattern: string, room: string): boolean {
  return pattern.endsWith('*') ? room.startsWith(pattern.slice(0, -1)) : room === pattern
}
