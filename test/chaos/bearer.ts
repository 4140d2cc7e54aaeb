import type { Publication } from './publication.js'

/** Longer than anybody takes to come over to a new primary. */
const COMING_OVER_MS = 20_000

/**
 * Who was given which events, and who of them came to an end: a new primary hears of what the old one took only from those.
 * A bearer is a replica, by its host and port, or anybody else who publishes, by name.
 */
export class Bearers {
  #bits = new Map<string, number>()
  /** When each of them ended, by its bit. */
  #ends = new Map<number, number[]>()
  /** When each was last given an event of an epoch that was new to it, by its bit. */
  #arrivals = new Map<number, { rank: number; at: number }[]>()

  /** This one has the event: it was answered, or a reader got it there. */
  give(publication: Publication, bearer: string): void {
    publication.bearers |= this.#bitOf(bearer)
  }

  /** This one was answered: it is where this epoch is. */
  arrive(bearer: string, rank: number, at: number): void {
    const bit = this.#bitOf(bearer)
    const arrivals = this.#arrivals.get(bit) ?? []
    if (arrivals.at(-1)?.rank !== rank) arrivals.push({ rank, at })
    this.#arrivals.set(bit, arrivals)
  }

  /** The process is gone, and what it knew. */
  end(bearer: string, at: number): void {
    const bit = this.#bitOf(bearer)
    this.#ends.set(bit, [...(this.#ends.get(bit) ?? []), at])
  }

  /** True when all who had an acknowledged event ended before any of them was seen on another primary. */
  areGone({ bearers, ackedAt, position }: Publication): boolean {
    if (bearers === 0 || !position) return false
    for (const bit of this.#bits.values()) {
      if ((bearers & bit) === 0) continue
      const end = this.#ends.get(bit)?.find(at => at >= ackedAt)
      if (end === undefined || end > ackedAt + COMING_OVER_MS) return false
      const cameOver = this.#arrivals.get(bit)?.some(({ rank, at }) => rank > position.rank && at > ackedAt && at < end)
      if (cameOver) return false
    }
    return true
  }

  #bitOf(bearer: string): number {
    let bit = this.#bits.get(bearer)
    if (bit === undefined) {
      bit = 1 << this.#bits.size
      // One more would take the place of the first.
      if (this.#bits.size > 30) throw new Error(`too many bearers: ${[...this.#bits.keys()]}`)
      this.#bits.set(bearer, bit)
    }
    return bit
  }
}
