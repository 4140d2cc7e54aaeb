import type { Ticket } from './tickets.js'

/** A ticket as the memory store keeps it. */
export interface Stored {
  readonly ticket: Ticket
  readonly maker: string
  /** Counts until the first `take`; then the session's end does. */
  readonly useBefore: number
  /** The connection that uses it; `null` for none. */
  connectionId: string | null
  /** The fencing token of the newest `take`; 0 before the first. */
  fence: number
  isRevoked: boolean
}

/** What a shelf may hold. */
export interface ShelfLimits {
  readonly tickets: number
  readonly bytes: number
  /** True if the ticket may go when there are too many. */
  readonly mayGo: (stored: Stored) => boolean
}

// A ticket, and each of its patterns, takes this beside its characters. Measured with Node 20.
const TICKET_BYTES = 300
const PATTERN_BYTES = 32
// A tenth goes at once, so that tickets are not looked through for each new one.
const KEPT = 0.9

/**
 * Tickets in the order of their arrival, bounded in number and bytes. Past a bound, the makers with the most lose their oldest: a maker of
 * many or large tickets pushes out its own.
 */
export class TicketShelf {
  readonly #limits: ShelfLimits
  readonly #byHash = new Map<string, Stored>()
  readonly #bytesOf = new Map<string, number>()
  #bytes = 0

  constructor(limits: ShelfLimits) {
    this.#limits = limits
  }

  find(hash: string): Stored | undefined {
    return this.#byHash.get(hash)
  }

  /** Puts a ticket behind all others; one of the same hash goes. */
  put(hash: string, stored: Stored): void {
    this.delete(hash)
    this.#byHash.set(hash, stored)
    this.#charge(stored.maker, sizeOf(stored))
  }

  delete(hash: string): void {
    const stored = this.#byHash.get(hash)
    if (stored === undefined) return
    this.#byHash.delete(hash)
    this.#charge(stored.maker, -sizeOf(stored))
  }

  /** Forgets tickets from the oldest on, up to the first one that is not over. */
  dropOldest(isOver: (stored: Stored) => boolean): void {
    for (const [hash, stored] of this.#byHash) {
      if (!isOver(stored)) return
      this.delete(hash)
    }
  }

  /** Makes room if there are too many; tickets that are over go first. Cost: a step for each ticket, once for a tenth of them. */
  makeRoom(isOver: (stored: Stored) => boolean): void {
    if (!this.#isFull(1)) return
    for (const [hash, stored] of this.#byHash) if (isOver(stored)) this.delete(hash)
    const { bytes, tickets, mayGo } = this.#limits
    // Counts each ticket with the average size, so that one level serves both bounds.
    const average = this.#bytes / Math.max(1, this.#byHash.size)
    const level = levelOf([...this.#bytesOf.values()], Math.min(bytes, tickets * average) * KEPT)
    for (const [hash, stored] of this.#byHash) {
      if (!this.#isFull(KEPT)) return
      if (this.#bytesOf.get(stored.maker)! > level && mayGo(stored)) this.delete(hash)
    }
  }

  #isFull(share: number): boolean {
    return this.#byHash.size > this.#limits.tickets * share || this.#bytes > this.#limits.bytes * share
  }

  #charge(maker: string, bytes: number): void {
    const held = (this.#bytesOf.get(maker) ?? 0) + bytes
    this.#bytes += bytes
    if (held > 0) this.#bytesOf.set(maker, held)
    else this.#bytesOf.delete(maker)
  }
}

// The most that each maker may keep, so that all together keep at most `bytes`. A maker with less loses nothing (max-min fairness).
function levelOf(held: number[], bytes: number): number {
  held.sort((a, b) => a - b)
  let left = bytes
  for (const [i, each] of held.entries()) {
    const level = left / (held.length - i)
    if (each > level) return level
    left -= each
  }
  return Number.POSITIVE_INFINITY
}

function sizeOf({ ticket: { userId, follow } }: Stored): number {
  const bytes = follow.reduce((sum, pattern) => sum + pattern.length + PATTERN_BYTES, 0)
  return TICKET_BYTES + userId.length + bytes
}
