/** A position as the ledger sees it: the text of an id taken apart, and the epochs in the order in which they came up. */
export interface Position {
  readonly epoch: string
  /** How many epochs came up before this one. */
  readonly rank: number
  readonly seq: number
}

const ID = /^([a-z0-9]{1,16})-([0-9]+)$/

/**
 * Reads and compares positions. An epoch is later than those that came up before it anywhere in the run (in an answer to a
 * publisher or on a stream); the ledger is fed by one process, so there is one such order.
 *
 * An epoch may carry on from another one: what was before its beginning is in its history too, under its own name and the old
 * number. How far that goes is known between two bounds: at least to where an event was seen under both names (`carry`), and at
 * most to where the later epoch began to count by itself (`begin`).
 */
export class Positions {
  #ranks = new Map<string, number>()
  /** Up to which number an epoch has what another one had, by the ranks of both: see nameOf. */
  #carried = new Map<number, number>()
  /** By rank: what an epoch has of earlier ones ends here at the latest. */
  #begins: number[] = []
  /** By rank: for every later epoch, the lowest of the beginnings from there on. Made when asked for. */
  #partings = new Map<number, number[]>()

  /** @throws Error  when `id` is not the id of an event */
  read(id: string): Position {
    const match = ID.exec(id)
    if (!match) throw new Error(`'${id}' is no position`)
    const epoch = match[1]! // the pattern has both groups
    let rank = this.#ranks.get(epoch)
    if (rank === undefined) {
      rank = this.#ranks.size
      this.#ranks.set(epoch, rank)
    }
    return { epoch, rank, seq: Number(match[2]) }
  }

  get epochs(): number {
    return this.#ranks.size
  }

  /** One event was seen at both: the later epoch has what the earlier one had, at least up to here. */
  carry(a: Position, b: Position): void {
    const name = a.rank > b.rank ? nameOf(a, b) : nameOf(b, a)
    this.#carried.set(name, Math.max(this.#carried.get(name) ?? 0, a.seq))
  }

  /** The epoch had come this far by itself: its own events lie behind this. */
  begin({ rank, seq }: Position): void {
    if (seq >= (this.#begins[rank] ?? Number.POSITIVE_INFINITY)) return
    this.#begins[rank] = seq
    this.#partings.clear()
  }

  /**
   * True when `a` is in the history that the epoch of `b` has: it is of that epoch, or of an earlier one and not behind the
   * point where they parted. Where that point is not known exactly: true.
   */
  isOfLine(a: Position, b: Position): boolean {
    if (a.rank === b.rank) return true
    if (a.rank > b.rank) return a.seq <= this.#carriedTo(a, b)
    return a.seq <= Math.max(this.#carriedTo(b, a), this.#partingOf(a.rank, b.rank))
  }

  /** Negative, 0 or positive, as `a` comes before, at or after `b`. */
  compare(a: Position, b: Position): number {
    if (a.rank < b.rank) return -this.compare(b, a)
    const carried = this.#carriedTo(a, b)
    // Up to the branching both have the same numbers; what the old epoch had beyond it lies before all that is new.
    return a.rank === b.rank || a.seq <= carried ? a.seq - b.seq : 1
  }

  #carriedTo(later: Position, earlier: Position): number {
    // Not even 0, the position of an epoch that nothing was published in yet, unless it was seen to carry on.
    return this.#carried.get(nameOf(later, earlier)) ?? -1
  }

  /** What came between two epochs may have parted from the earlier one before the later one did. */
  #partingOf(earlier: number, later: number): number {
    let partings = this.#partings.get(earlier)
    if (partings === undefined) {
      partings = []
      let lowest = Number.POSITIVE_INFINITY
      for (let rank = earlier + 1; rank < this.#ranks.size; rank++) {
        lowest = Math.min(lowest, this.#begins[rank] ?? Number.POSITIVE_INFINITY)
        partings[rank] = lowest
      }
      this.#partings.set(earlier, partings)
    }
    return partings[later] ?? Number.POSITIVE_INFINITY
  }
}

// A number, because a long run asks millions of times.
function nameOf(later: Position, earlier: Position): number {
  return later.rank * 2 ** 20 + earlier.rank
}

export function showPosition(position: Position | undefined): string {
  return position ? `${position.epoch}-${position.seq}` : 'none'
}
