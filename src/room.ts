import { InvalidUser, shown } from './errors.js'

/** The room that every viewer follows. */
export const EVERYONE = '*'

/** What the name of a user's own room begins with. */
export const USER_PREFIX = 'user:'

// What a room may be made of; the messages of `InvalidRoom` and `InvalidUser` name it too.
const CHARACTER = '[A-Za-z0-9_.:@/-]'
const ROOM = new RegExp(`^${CHARACTER}{1,200}$`)
const USER = new RegExp(`^${CHARACTER}{1,195}$`)
const PATTERN = new RegExp(`^(?=.)${CHARACTER}{0,200}\\*?$`)

/** True for a free name, a user's room or `*`. */
export function isRoom(room: string): boolean {
  // JavaScript callers may pass a value that is no string; the pattern would test it as 'undefined'.
  return typeof room === 'string' && (room === EVERYONE || (ROOM.test(room) && room !== USER_PREFIX))
}

/** True for a room's name, or the beginning of one with a `*` behind it. */
export function isPattern(pattern: string): boolean {
  return PATTERN.test(pattern)
}

/** True for what may stand behind `user:`. */
export function isUserId(userId: string): boolean {
  return typeof userId === 'string' && USER.test(userId)
}

/** The user's own room, of an id that was checked. */
export function roomOf(userId: string): string {
  return `${USER_PREFIX}${userId}`
}

/**
 * The user's own room.
 * @throws InvalidUser  `place` says where the id came from
 */
export function userRoom(userId: string, place: string): string {
  if (!isUserId(userId)) throw new InvalidUser(shown(String(userId)), place)
  return roomOf(userId)
}
