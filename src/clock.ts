/** The clock that credentials are judged by: when one was made, when it ends, when its user was revoked. */
export interface Clock {
  /** Ms since 1970, whole. */
  now(): number
  /** The latest time that this clock gave, in ms since 1970. After the clock was set back a little, `now` is behind it. */
  readonly latest: number
  /** False while `now` can only guess. */
  readonly isSet: boolean
}

/** A step back by more than this is taken as it is, so that a clock that was set ahead by a year can be put right again. */
export const MAX_STEP_BACK_MS = 300_000

/** The process' own clock, for a gateway of a single process. */
export class ProcessClock implements Clock {
  readonly isSet = true
  readonly #read: () => number
  #latest = 0

  /** `read` is in ms since 1970. */
  constructor(read: () => number = Date.now) {
    this.#read = read
  }

  get latest(): number {
    return this.#latest
  }

  now(): number {
    const now = Math.floor(this.#read())
    if (now > this.#latest || now < this.#latest - MAX_STEP_BACK_MS) this.#latest = now
    return now
  }
}

// The monotonic clock of this machine and the clock of Redis may run apart by this share: 500 ppm, as far as NTP slews.
const DRIFT = 5e-4

/**
 * The clock of Redis as this replica knows it, so that all replicas share one clock. Each answer of Redis that holds its time sets it;
 * between two answers the monotonic clock goes on, which nobody can set.
 *
 *   unset  no answer came so far: `now` is the process' clock, and nothing may be decided by it
 *   set    `now` is behind the clock of Redis by at most the time of the fastest answer. While Redis is away, it falls behind by up to
 *          1 ms more each second
 *
 * It is never ahead of Redis: otherwise a token could count as made after a revocation that in truth followed it.
 */
export class RedisClock implements Clock {
  readonly #monotonic: () => number
  // A lower bound of the time of Redis minus the monotonic clock, and when it was found.
  #offset = Number.NaN
  #setAt = 0
  #latest = 0

  /** `monotonic` is in ms. */
  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic
  }

  get isSet(): boolean {
    return !Number.isNaN(this.#offset)
  }

  get latest(): number {
    return this.#latest
  }

  now(): number {
    if (!this.isSet) return Date.now()
    const monotonic = this.#monotonic()
    const now = Math.floor(monotonic + this.#offsetAt(monotonic))
    if (now > this.#latest || now < this.#latest - MAX_STEP_BACK_MS) this.#latest = now
    return now
  }

  /** Takes an answer of Redis: `time` (ms since 1970, rounded down), asked for at `sentAt` (ms of the monotonic clock). */
  observe(time: number, sentAt: number): void {
    if (!Number.isFinite(time)) return
    const monotonic = this.#monotonic()
    const least = time - monotonic
    // If the answer is below the least time that Redis can have had when it was asked, the clock of Redis was set back.
    const known = this.isSet ? this.#offsetAt(monotonic) : Number.NEGATIVE_INFINITY
    const isPossible = known <= time + 1 - sentAt
    if (this.isSet) this.now()
    this.#offset = isPossible ? Math.max(known, least) : least
    this.#setAt = monotonic
  }

  #offsetAt(monotonic: number): number {
    return this.#offset - (monotonic - this.#setAt) * DRIFT
  }
}
