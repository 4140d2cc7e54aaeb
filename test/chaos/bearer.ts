import type { Publication } from './publication.js'

/** Upper bound on the time that a process takes to come over to a new primary. */
const COMING_OVER_MS = 20_000

/**
 * Records which processes have which events (their bearers), and when each process ended. Only bearers can tell a new primary
 * which events the old one took. A bearer is a replica, by its host and port, or another publisher, by name.
 */
export class Bearers {
  #bits = new Map<string, number>()
  /** The times at which each bearer ended, by its bit. */
  #ends = new Map<number, number[]>()
  /** When each bearer first got an answer of a new epoch, by its bit. */
  #arrivals = new Map<number, { rank: number; at: number }[]>()

  /** The bearer has the event: it got the answer, or a reader got the event from it. */
  give(publication: Publication, bearer: string): void {
    publication.bearers |= this.#bitOf(bearer)
  }

  /** The bearer got an answer of this epoch, so it has come over to that epoch's primary. */
  arrive(bearer: string, rank: number, at: number): void {
    const bit = this.#bitOf(bearer)
    const arrivals = this.#arrivals.get(bit) ?? []
    if (arrivals.at(-1)?.rank !== rank) arrivals.push({ rank, at })
    this.#arrivals.set(bit, arrivals)
  }

  /** The process has ended, and its knowledge is lost. */
  end(bearer: string, at: number): void {
    const bit = this.#bitOf(bearer)
    this.#ends.set(bit, [...(this.#ends.get(bit) ?? []), at])
  }

  /** True when all bearers of an acknowledged event ended, and none had been seen on another primary before its end. */
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
      // Shifts wrap at 32 bits: one more bearer would share the bit of the first.
      if (this.#bits.size > 30) throw new Error(`too many bearers: ${[...this.#bits.keys()]}`)
      this.#bits.set(bearer, bit)
    }
    return bit
  }
}
