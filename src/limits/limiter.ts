import { type Bucket, Buckets } from './buckets.js'
import { Exchange, type SharedBuckets } from './exchange.js'

/** A limit, and where it is counted. */
export interface LimiterOptions {
  /** Events within a window. */
  readonly limit: number
  readonly windowMs: number
  /** Where replicas add up their charges; `null` if there is one replica. */
  readonly shared: SharedBuckets | null
  /** The monotonic clock, in ms. */
  readonly now?: () => number
  /** Buckets kept at most, one for each publisher or viewer. Default 100,000. */
  readonly most?: number
}

const KNOWN_AT_ONCE = 100_000
// Sums of fractions of a millisecond are not exact.
const ROUNDING_MS = 0.001
// Past this part of the window, a limiter asks the other replicas before it allows anything.
const NEAR = 1 / 2

/**
 * A limit on events, for each publisher by itself: a leaky bucket with debt (GCRA). A bucket holds the limit and drains within a
 * window, evenly. A request that finds room for one event is let through and charged the whole cost, even past the brim: a batch of
 * 1,000 passes a limit of 10, once, and later requests wait for its debt to drain. So within any time `t` a publisher is allowed
 * at most `limit x (1 + t / window)` events and one request more.
 *
 * If replicas share the limit, each decides by itself and at once while a bucket is at most half full, and tells the others afterwards.
 * Nearer to the limit it first asks for their charges: one answer of Redis, or none if Redis is away. So each replica may let through a
 * sixteenth of a window, and its requests in flight, before the others hear of it.
 */
export class Limiter {
  readonly #windowMs: number
  readonly #eventMs: number
  readonly #buckets: Buckets
  readonly #exchange: Exchange | null
  readonly #now: () => number

  constructor({ limit, windowMs, shared, now = () => performance.now(), most = KNOWN_AT_ONCE }: LimiterOptions) {
    this.#windowMs = windowMs
    this.#eventMs = windowMs / limit
    this.#buckets = new Buckets(most, windowMs)
    this.#exchange = shared === null ? null : new Exchange(shared, windowMs, now)
    this.#now = now
  }

  /** Buckets kept now, one for each publisher or viewer. */
  get size(): number {
    return this.#buckets.size
  }

  /**
   * Charges `events` when there is room for one; answers 0 then, else the ms until there is. With no events it only looks whether
   * there is room. It returns a promise only if other replicas must be asked.
   */
  take(who: string, events: number): number | Promise<number> {
    return this.#take(who, events, this.#windowMs - this.#eventMs)
  }

  /** Charges the rest of a request whose first event `take` let through. That event takes no room from the rest. */
  takeRest(who: string, events: number): number | Promise<number> {
    return this.#take(who, events, this.#windowMs)
  }

  /** Charges `events` that have happened already. */
  charge(who: string, events: number): void {
    const now = this.#now()
    const bucket = this.#buckets.get(who, now)
    this.#charge(bucket, events * this.#eventMs, now)
    this.#exchange?.tell(bucket)
  }

  #take(who: string, events: number, mostMs: number): number | Promise<number> {
    const now = this.#now()
    if (events === 0 && this.#buckets.find(who) === undefined) return 0
    const bucket = this.#buckets.get(who, now)
    const debtMs = Math.max(0, bucket.emptyAt - now)
    if (debtMs > mostMs + ROUNDING_MS) return debtMs - mostMs
    const costMs = events * this.#eventMs
    this.#charge(bucket, costMs, now)
    if (this.#exchange === null) return 0
    if (debtMs + Math.max(costMs, this.#eventMs) > this.#windowMs * NEAR + ROUNDING_MS) {
      return this.#ask(this.#exchange, bucket, costMs, debtMs - mostMs, now)
    }
    this.#exchange.tell(bucket)
    return 0
  }

  #charge(bucket: Bucket, costMs: number, now: number): void {
    bucket.emptyAt = Math.max(now, bucket.emptyAt) + costMs
    bucket.usedAt = now
    if (this.#exchange !== null) bucket.untoldMs += costMs
  }

  // The charge is made before the answer, so that requests in the meantime count it.
  async #ask(exchange: Exchange, bucket: Bucket, costMs: number, overMs: number, askedAt: number): Promise<number> {
    const raisedMs = bucket.raisedMs
    await exchange.ask(bucket)
    const othersMs = bucket.raisedMs - raisedMs
    const waitMs = overMs + othersMs - (this.#now() - askedAt)
    if (othersMs <= 0 || waitMs <= ROUNDING_MS) return 0
    bucket.emptyAt -= costMs
    bucket.untoldMs -= costMs
    exchange.tell(bucket)
    return waitMs
  }
}
