import { InvalidUser, shown } from './errors.js'

/** The room that every viewer follows. */
export const EVERYONE = '*'

/** The prefix of a user's own room. */
export const USER_PREFIX = 'user:'

// The characters of a room. The messages of `InvalidRoom` and `InvalidUser` name them too.
const CHARACTER = '[A-Za-z0-9_.:@/-]'
const ROOM = new RegExp(`^${CHARACTER}{1,200}$`)
const USER = new RegExp(`^${CHARACTER}{1,195}$`)
const PATTERN = new RegExp(`^(?=.)${CHARACTER}{0,200}\\*?$`)

/** True for a valid name of a room: the application's own, `user:<id>`, or `*`. */
export function isRoom(room: string): boolean {
  // JavaScript callers may pass a value that is no string; the pattern would test it as 'undefined'.
  return typeof room === 'string' && (room === EVERYONE || (ROOM.test(room) && room !== USER_PREFIX))
}

/** True for a room's name, or a prefix of one followed by `*`. */
export function isPattern(pattern: string): boolean {
  return PATTERN.test(pattern)
}

/** True for a valid user id: at most 195 characters, so that `user:` and the id make a room. */
export function isUserId(userId: string): boolean {
  return typeof userId === 'string' && USER.test(userId)
}

/** The user's own room. `userId` must be valid; see `userRoom`. */
export function roomOf(userId: string): string {
  return `${USER_PREFIX}${userId}`
}

/**
 * The user's own room, after a check of the id.
 * @throws InvalidUser  `place` says where the id came from
 */
export function userRoom(userId: string, place: string): string {
  if (!isUserId(userId)) throw new InvalidUser(shown(String(userId)), place)
  return roomOf(userId)
}
