/** An event id taken apart, with the rank of its epoch: its place in the order in which the epochs appeared. */
export interface Position {
  readonly epoch: string
  /** How many epochs appeared before this one. */
  readonly rank: number
  readonly seq: number
}

const ID = /^([a-z0-9]{1,16})-([0-9]+)$/

/**
 * Reads and compares positions. Epochs are ordered by their first appearance in the run, in an answer to a publisher or on a
 * stream. One process feeds the ledger, so there is one such order.
 *
 * An epoch may continue another one (after a failover or a restart with data): its history then holds the earlier events under
 * its own name and their old numbers. The ledger knows two bounds of how far that goes: at least to an event that was seen under
 * both names (`carry`), and at most to the point where the later epoch began to count by itself (`begin`).
 */
export class Positions {
  #ranks = new Map<string, number>()
  /** The highest number known to be the same event in two epochs, by the ranks of both: see nameOf. */
  #carried = new Map<number, number>()
  /** By rank: the earlier epochs' events in this epoch end here at the latest. */
  #begins: number[] = []
  /** By rank: for every later epoch, the lowest `begin` of the epochs up to it. Filled on demand. */
  #partings = new Map<number, number[]>()

  /** @throws Error  when `id` is not an event id */
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

  /** One event was seen at both positions: at least up to here, the later epoch has the events of the earlier one. */
  carry(a: Position, b: Position): void {
    const name = a.rank > b.rank ? nameOf(a, b) : nameOf(b, a)
    this.#carried.set(name, Math.max(this.#carried.get(name) ?? 0, a.seq))
  }

  /** The epoch had reached this position by itself: its own events lie after it. */
  begin({ rank, seq }: Position): void {
    if (seq >= (this.#begins[rank] ?? Number.POSITIVE_INFINITY)) return
    this.#begins[rank] = seq
    this.#partings.clear()
  }

  /**
   * True when `a` is in the history of the epoch of `b`: it is of that epoch, or of an earlier one and not beyond the point
   * where the two parted. Between the two bounds of that point the answer is true.
   */
  isOfLine(a: Position, b: Position): boolean {
    if (a.rank === b.rank) return true
    if (a.rank > b.rank) return a.seq <= this.#carriedTo(a, b)
    return a.seq <= Math.max(this.#carriedTo(b, a), this.#partingOf(a.rank, b.rank))
  }

  /** Negative, 0 or positive when `a` comes before, at or after `b`. */
  compare(a: Position, b: Position): number {
    if (a.rank < b.rank) return -this.compare(b, a)
    const carried = this.#carriedTo(a, b)
    // Up to the parting both epochs have the same numbers. The old epoch's events beyond it come before all new ones.
    return a.rank === b.rank || a.seq <= carried ? a.seq - b.seq : 1
  }

  #carriedTo(later: Position, earlier: Position): number {
    // -1: even position 0, the start of an epoch, counts as shared only after `carry`.
    return this.#carried.get(nameOf(later, earlier)) ?? -1
  }

  /** Where the later epoch parted from the earlier one, at most. An epoch between the two may have parted first. */
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

// A number and not a string, because a long run asks millions of times.
function nameOf(later: Position, earlier: Position): number {
  return later.rank * 2 ** 20 + earlier.rank
}

export function showPosition(position: Position | undefined): string {
  return position ? `${position.epoch}-${position.seq}` : 'none'
}
