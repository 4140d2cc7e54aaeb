/** The use of a limit by one publisher or viewer. Times are ms of the monotonic clock. */
export interface Bucket {
  readonly who: string
  /** When all charges have drained. The debt is how far this lies ahead. */
  emptyAt: number
  /** When it was charged last. */
  usedAt: number
  /** Charges of this replica that are not yet added to the shared bucket. */
  untoldMs: number
  /** The amount by which charges of other replicas have raised `emptyAt` so far. */
  raisedMs: number
  /** Its place among all buckets. */
  slot: number
}

// Eviction by sample: of this many random buckets, the one with the least debt makes room for a new one.
const SAMPLE = 16

/**
 * A bounded number of buckets. An empty bucket is forgotten, and nothing is lost with it. Each use looks at a few buckets, so no timer is
 * needed. If every place is taken by a bucket with a debt, one with little debt makes room: a flood of newcomers with little debt each does
 * not free a publisher with a large one.
 */
export class Buckets {
  readonly #most: number
  readonly #windowMs: number
  readonly #byWho = new Map<string, Bucket>()
  readonly #slots: Bucket[] = []
  #hand = 0

  constructor(most: number, windowMs: number) {
    this.#most = most
    this.#windowMs = windowMs
  }

  get size(): number {
    return this.#slots.length
  }

  /** The bucket, if there is one. */
  find(who: string): Bucket | undefined {
    return this.#byWho.get(who)
  }

  /** The bucket; makes one when there is none. Cost: constant. */
  get(who: string, now: number): Bucket {
    this.#forgetOneIfEmpty(now)
    const known = this.#byWho.get(who)
    if (known !== undefined) return known
    this.#forgetOneIfEmpty(now)
    if (this.#slots.length >= this.#most) this.#forget(this.#leastIndebted())
    const bucket = { who, emptyAt: now, usedAt: now, untoldMs: 0, raisedMs: 0, slot: this.#slots.length }
    this.#byWho.set(who, bucket)
    this.#slots.push(bucket)
    return bucket
  }

  // The hand goes round like that of a clock: each call looks at one bucket.
  #forgetOneIfEmpty(now: number): void {
    if (this.#hand >= this.#slots.length) this.#hand = 0
    const bucket = this.#slots[this.#hand]
    if (bucket === undefined) return
    // Other replicas need not hear of a use that is a window old.
    const isTold = bucket.untoldMs === 0 || bucket.usedAt + this.#windowMs <= now
    if (bucket.emptyAt <= now && isTold) this.#forget(bucket)
    else this.#hand++
  }

  #leastIndebted(): Bucket {
    const pick = () => this.#slots[Math.floor(Math.random() * this.#slots.length)]!
    let least = pick()
    for (let i = 1; i < SAMPLE; i++) {
      const other = pick()
      if (other.emptyAt < least.emptyAt) least = other
    }
    return least
  }

  #forget({ who, slot }: Bucket): void {
    this.#byWho.delete(who)
    const last = this.#slots.pop()!
    if (last.slot === slot) return
    last.slot = slot
    this.#slots[slot] = last
  }
}
