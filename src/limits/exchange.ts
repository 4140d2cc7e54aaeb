import type { Bucket } from './buckets.js'

/** Buckets that all replicas add to. */
export interface SharedBuckets {
  /**
   * Adds charges of this replica, and resolves with the debt of each bucket after that, both in ms and in the same order. Rejects if that
   * cannot be done now.
   */
  add(charges: readonly { readonly who: string; readonly costMs: number }[]): Promise<readonly number[]>
}

// Charges are told once they are this part of a window: soon enough to matter, and rarely for a publisher with few events.
const NOTICEABLE = 1 / 16
// Buckets in one exchange, so that no script holds up Redis.
const AT_ONCE = 500

/**
 * Keeps the buckets of this replica in step with those of the others: adds its charges to the shared buckets, and raises its own by theirs.
 * One exchange is under way at a time; later charges go with the next one. After a failed exchange the charges still count here, and are
 * told with the next use.
 *
 *   idle       nothing to tell
 *   scheduled  buckets wait for the end of this turn of the event loop
 *   under way  buckets wait for the next exchange
 */
export class Exchange {
  readonly #shared: SharedBuckets
  readonly #noticeableMs: number
  readonly #now: () => number
  #state: 'idle' | 'scheduled' | 'under way' = 'idle'
  readonly #waiting = new Map<Bucket, (() => void)[]>()

  constructor(shared: SharedBuckets, windowMs: number, now: () => number) {
    this.#shared = shared
    this.#noticeableMs = windowMs * NOTICEABLE
    this.#now = now
  }

  /** Tells the other replicas of this bucket's charges and refunds, once they add up to `NOTICEABLE`. */
  tell(bucket: Bucket): void {
    if (Math.abs(bucket.untoldMs) >= this.#noticeableMs) this.#add(bucket)
  }

  /** Resolves when the bucket includes the charges of the others, or the exchange has failed. */
  ask(bucket: Bucket): Promise<void> {
    return new Promise(resolve => this.#add(bucket).push(resolve))
  }

  #add(bucket: Bucket): (() => void)[] {
    let askers = this.#waiting.get(bucket)
    if (askers === undefined) {
      askers = []
      this.#waiting.set(bucket, askers)
    }
    if (this.#state === 'idle') this.#schedule()
    return askers
  }

  #schedule(): void {
    this.#state = 'scheduled'
    setImmediate(() => void this.#run())
  }

  // Never rejects: without the others this replica goes on with its own buckets.
  async #run(): Promise<void> {
    this.#state = 'under way'
    const group: [Bucket, (() => void)[]][] = []
    for (const each of this.#waiting) {
      if (group.length === AT_ONCE) break
      group.push(each)
      this.#waiting.delete(each[0])
    }
    const charges = group.map(([bucket]) => ({ who: bucket.who, costMs: this.#toTell(bucket) }))
    try {
      const debts = await this.#shared.add(charges)
      const now = this.#now()
      for (const [i, [bucket]] of group.entries()) raise(bucket, now + debts[i]!)
    } catch {
      for (const [i, [bucket]] of group.entries()) bucket.untoldMs += charges[i]!.costMs
    }
    this.#state = 'idle'
    for (const [, askers] of group) for (const resolve of askers) resolve()
    if (this.#waiting.size > 0) this.#schedule()
  }

  // Small charges are told late, and so are large ones after a failed exchange. The part that has drained by then is left out.
  #toTell(bucket: Bucket): number {
    const debtMs = bucket.emptyAt - this.#now()
    const costMs = Math.min(bucket.untoldMs, Math.max(this.#noticeableMs, debtMs))
    bucket.untoldMs = 0
    return costMs
  }
}

// Never lowers it: a Redis that forgot must not make replicas forget.
function raise(bucket: Bucket, sharedEmptyAt: number): void {
  const emptyAt = sharedEmptyAt + bucket.untoldMs
  if (emptyAt <= bucket.emptyAt) return
  bucket.raisedMs += emptyAt - bucket.emptyAt
  bucket.emptyAt = emptyAt
}
