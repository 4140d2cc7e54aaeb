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
 * number. It is told of that by `carry`, when an event was seen under both names.
 */
export class Positions {
  #ranks = new Map<string, number>()
  /** Up to which number an epoch has what another one had: 'new old' -> number. */
  #carried = new Map<string, number>()

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
    const name = a.rank > b.rank ? `${a.epoch} ${b.epoch}` : `${b.epoch} ${a.epoch}`
    this.#carried.set(name, Math.max(this.#carried.get(name) ?? 0, a.seq))
  }

  /** Negative, 0 or positive, as `a` comes before, at or after `b`. */
  compare(a: Position, b: Position): number {
    if (a.rank < b.rank) return -this.compare(b, a)
    // Not even 0, the position of an epoch that nothing was published in yet, unless it was seen to carry on.
    const carried = this.#carried.get(`${a.epoch} ${b.epoch}`) ?? -1
    // Up to the branching both have the same numbers; what the old epoch had beyond it lies before all that is new.
    return a.rank === b.rank || a.seq <= carried ? a.seq - b.seq : 1
  }
}

export function showPosition(position: Position | undefined): string {
  return position ? `${position.epoch}-${position.seq}` : 'none'
}
