/** A position as the ledger sees it: the text of an id taken apart, and the epochs in the order in which they came up. */
export interface Position {
  readonly epoch: string
  /** How many epochs came up before this one. */
  readonly rank: number
  readonly seq: number
}

const ID = /^([a-z0-9]{1,16})-([0-9]+)$/

/**
 * Reads positions. An epoch is later than those that came up before it anywhere in the run (in an answer to a publisher or
 * on a stream); the ledger is fed by one process, so there is one such order.
 */
export class Positions {
  #ranks = new Map<string, number>()

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
}

/** Negative, 0 or positive, as `a` comes before, at or after `b`. */
export function comparePositions(a: Position, b: Position): number {
  return a.rank - b.rank || a.seq - b.seq
}

export function showPosition(position: Position | undefined): string {
  return position ? `${position.epoch}-${position.seq}` : 'none'
}
