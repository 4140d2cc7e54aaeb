import type { Published } from '../event.js'
import { KEY_TTL_MS } from './bus.js'

/** Keys that are remembered at most, over all rooms. */
const KEYS_LIMIT = 100_000

interface Entry {
  readonly id: string
  readonly owner: RoomKeys
  published: Published
  until: number
  /** The keys that were remembered just before and just after this one, in any room. */
  older: Entry | null
  newer: Entry | null
  /** The key of the same room that was remembered just after this one. */
  newerInRoom: Entry | null
}

interface RoomKeys {
  readonly name: string
  count: number
  oldest: Entry | null
  newest: Entry | null
  /** Neighbours in the list of rooms with the same number of keys. */
  before: RoomKeys | null
  after: RoomKeys | null
}

/**
 * Remembers the idempotency keys of the memory bus for 5 minutes; each room has its own. Past the limit the room with the most keys
 * loses its oldest one (max-min fairness), so that a flood of keys in one room pushes out the keys of that room first. Every call takes
 * constant time, because rooms are kept in lists by their number of keys.
 */
export class Keys {
  readonly #limit: number
  readonly #entries = new Map<string, Entry>()
  #oldest: Entry | null = null
  #newest: Entry | null = null
  readonly #rooms = new Map<string, RoomKeys>()
  // Index n lists the rooms that have n keys. `#most` is the highest number that a room has.
  readonly #byCount: { first: RoomKeys | null; last: RoomKeys | null }[] = []
  #most = 0

  constructor(limit = KEYS_LIMIT) {
    this.#limit = limit
  }

  /** The first answer to the room's key, unless it was forgotten by `now`, in ms. */
  find(room: string, key: string, now: number): Published | undefined {
    const entry = this.#entries.get(idOf(room, key))
    return entry !== undefined && entry.until > now ? entry.published : undefined
  }

  /** Makes `find` return `published` for 5 minutes from `now`. */
  remember(room: string, key: string, published: Published, now: number): void {
    while (this.#oldest !== null && this.#oldest.until <= now) this.#forgetOldestOf(this.#oldest.owner)
    const id = idOf(room, key)
    const known = this.#entries.get(id)
    if (known !== undefined) {
      // This key has ended and was not dropped above, because an older one has not ended: the clock went back between them.
      known.published = published
      known.until = now + KEY_TTL_MS
      return
    }
    this.#add(id, this.#ownerOf(room), published, now + KEY_TTL_MS)
    if (this.#entries.size > this.#limit) this.#forgetOldestOf(this.#byCount[this.#most]!.first!)
  }

  #ownerOf(name: string): RoomKeys {
    let owner = this.#rooms.get(name)
    if (owner === undefined) {
      owner = { name, count: 0, oldest: null, newest: null, before: null, after: null }
      this.#rooms.set(name, owner)
    }
    return owner
  }

  #add(id: string, owner: RoomKeys, published: Published, until: number): void {
    const entry: Entry = { id, owner, published, until, older: this.#newest, newer: null, newerInRoom: null }
    this.#entries.set(id, entry)
    if (this.#newest === null) this.#oldest = entry
    else this.#newest.newer = entry
    this.#newest = entry
    if (owner.newest === null) owner.oldest = entry
    else owner.newest.newerInRoom = entry
    owner.newest = entry
    this.#recount(owner, owner.count + 1)
  }

  // Keys of one room end in the order in which they came, so the one to forget is always the room's oldest.
  #forgetOldestOf(owner: RoomKeys): void {
    const { id, older, newer, newerInRoom } = owner.oldest!
    this.#entries.delete(id)
    if (older === null) this.#oldest = newer
    else older.newer = newer
    if (newer === null) this.#newest = older
    else newer.older = older
    owner.oldest = newerInRoom
    if (newerInRoom === null) owner.newest = null
    this.#recount(owner, owner.count - 1)
    if (owner.count === 0) this.#rooms.delete(owner.name)
  }

  #recount(owner: RoomKeys, count: number): void {
    if (owner.count > 0) this.#unlist(owner)
    owner.count = count
    if (count > 0) this.#list(owner)
    if (count > this.#most) this.#most = count
    // The room that had the most has one less now: no room can have more.
    else if (this.#byCount[this.#most]?.first == null) this.#most = count
  }

  #list(owner: RoomKeys): void {
    this.#byCount[owner.count] ??= { first: null, last: null }
    const list = this.#byCount[owner.count]!
    owner.before = list.last
    owner.after = null
    if (list.last === null) list.first = owner
    else list.last.after = owner
    list.last = owner
  }

  #unlist({ count, before, after }: RoomKeys): void {
    const list = this.#byCount[count]!
    if (before === null) list.first = after
    else before.after = after
    if (after === null) list.last = before
    else after.before = before
  }
}

function idOf(room: string, key: string): string {
  // As in Redis: no room and no key holds a line feed.
  return `${room}\n${key}`
}
