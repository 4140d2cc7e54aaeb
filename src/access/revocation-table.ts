import { hash } from 'node:crypto'

/** A user's key: the first 64 bits of the SHA-256 of the id. Two users share a key in 1 of 10^19 pairs. */
export interface UserKey {
  readonly high: number
  readonly low: number
}

/** A checksum to compare two sets: the number of users, and a sum over users and times. */
export interface Digest {
  readonly count: number
  readonly sum: number
}

interface Slots {
  readonly high: Uint32Array
  readonly low: Uint32Array
  /** 0 in a free slot. */
  readonly at: Float64Array
  /** The last pass that found the entry in the other set. */
  readonly marks: Uint8Array
  readonly mask: number
}

const MIN_SLOTS = 1_024
const MAX_LOAD = 0.75
const SUM_MODULUS = 2 ** 40
const LAST_PASS = 255

/** The key of a user. */
export function userKeyOf(userId: string): UserKey {
  const digest = hash('sha256', userId, 'buffer')
  return { high: digest.readUInt32BE(0), low: digest.readUInt32BE(4) }
}

/** A key as 16 hex digits. */
export function formatUserKey({ high, low }: UserKey): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0')
}

/**
 * When each of many users was revoked last, in ms since 1970. An open-addressing hash table in typed arrays: 17 bytes a slot
 * outside the heap, so a million users cost 36 MB and no garbage collection. Entries leave by age only, all at once.
 */
export class RevocationTable {
  #slots = createSlots(MIN_SLOTS)
  #size = 0
  #sum = 0
  #pass = 0

  /** The checksum of the table. */
  get digest(): Digest {
    return { count: this.#size, sum: this.#sum }
  }

  /** True if one more user would make the table grow: pruning first may save that. */
  get isFull(): boolean {
    return this.#size + 1 > this.#slots.at.length * MAX_LOAD
  }

  /** When the user was revoked; 0 for never. */
  get(key: UserKey): number {
    return this.#slots.at[slotOf(this.#slots, key.high, key.low)]!
  }

  /**
   * Notes that the user was revoked at `at`; a later known time stays. `pass` is the pass that saw the entry elsewhere, 0 for none.
   * `true` if it is news.
   */
  set(high: number, low: number, at: number, pass = 0): boolean {
    const slot = slotOf(this.#slots, high, low)
    const known = this.#slots.at[slot]!
    if (known === 0 && this.isFull) {
      this.reserve(this.#size + 1)
      return this.set(high, low, at, pass)
    }
    // The other set has an older time, so it lacks the entry that is known here.
    if (known > at) return false
    if (pass !== 0) this.#slots.marks[slot] = pass
    if (known === at) return false
    if (known === 0) {
      this.#slots.high[slot] = high
      this.#slots.low[slot] = low
      this.#size++
    }
    this.#slots.at[slot] = at
    this.#add(known === 0 ? at + high : at - known)
    return true
  }

  /** Makes room for so many users in all. */
  reserve(count: number): void {
    let length = this.#slots.at.length
    while (count > length * MAX_LOAD) length *= 2
    if (length > this.#slots.at.length) this.#rebuild(length, 0)
  }

  /** Forgets revocations older than `before`. */
  prune(before: number): void {
    const { at } = this.#slots
    let kept = 0
    let old = 0
    for (let i = 0; i < at.length; i++) {
      if (at[i]! >= before) kept++
      else if (at[i] !== 0) old++
    }
    if (old === 0) return
    let length = MIN_SLOTS
    while (kept > length * MAX_LOAD * 0.9) length *= 2
    this.#rebuild(length, before)
  }

  /** Begins to compare with another set: call `set` for each of its entries with the returned number. */
  beginPass(): number {
    if (this.#pass === LAST_PASS) {
      this.#slots.marks.fill(0)
      this.#pass = 0
    }
    return ++this.#pass
  }

  /** Entries from `since` on that the pass did not find in the other set. Entries that came since it began may be among them. */
  *unseen(since: number, pass: number): Generator<[user: string, at: number]> {
    const { high, low, at, marks } = this.#slots
    for (let i = 0; i < at.length; i++) {
      if (at[i]! < since || at[i] === 0 || marks[i] === pass) continue
      yield [formatUserKey({ high: high[i]!, low: low[i]! }), at[i]!]
    }
  }

  #rebuild(length: number, before: number): void {
    const { high, low, at, marks } = this.#slots
    this.#slots = createSlots(length)
    this.#size = 0
    this.#sum = 0
    for (let i = 0; i < at.length; i++) {
      if (at[i] === 0 || at[i]! < before) continue
      this.set(high[i]!, low[i]!, at[i]!, marks[i]!)
    }
  }

  #add(weight: number): void {
    this.#sum = (((this.#sum + weight) % SUM_MODULUS) + SUM_MODULUS) % SUM_MODULUS
  }
}

function createSlots(length: number): Slots {
  return {
    high: new Uint32Array(length),
    low: new Uint32Array(length),
    at: new Float64Array(length),
    marks: new Uint8Array(length),
    mask: length - 1,
  }
}

// The user's slot, or the free one where it would be. The keys are hashes: their bits need no mixing.
function slotOf({ high, low, at, mask }: Slots, keyHigh: number, keyLow: number): number {
  let slot = keyLow & mask
  while (at[slot] !== 0 && (low[slot] !== keyLow || high[slot] !== keyHigh)) slot = (slot + 1) & mask
  return slot
}
