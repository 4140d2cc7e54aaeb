import type { Clock } from '../clock.js'
import { heapShare } from '../heap.js'
import { type Stored, TicketShelf } from './ticket-shelf.js'
import {
  FIRST_USE_MS,
  type Kept,
  type MadeTicket,
  type Taken,
  type Ticket,
  type TicketRequest,
  type TicketStore,
} from './tickets.js'

const MAX_UNUSED = 10_000
const MAX_UNUSED_BYTES = 16 * 1_048_576
const MAX_USED = 100_000
const MAX_UNKNOWN_REVOKED = 10_000

/**
 * Tickets of a single process. The states of `TicketStore` are here
 *
 *   fresh    on `#unused`, with fence 0                                                         -> used, revoked
 *   used     on `#used`, with the fence of its last `take`; `connectionId` is null between two  -> revoked
 *   revoked  with `isRevoked`, where it was; if it was unknown, in `#unknownRevoked`
 *
 * Each shelf is bounded: past ten thousand unused tickets or 16 MiB, and past a hundred thousand used tickets or an eighth of the heap, the
 * makers of the most lose their oldest. A used ticket stays while a stream has it.
 */
export class MemoryTickets implements TicketStore {
  readonly #clock: Clock
  readonly #unused = new TicketShelf({ tickets: MAX_UNUSED, bytes: MAX_UNUSED_BYTES, mayGo: () => true })
  readonly #used = new TicketShelf({
    tickets: MAX_USED,
    bytes: heapShare(1 / 8),
    mayGo: ({ connectionId }) => connectionId === null,
  })
  /** Tombstones of tickets that were unknown when they were revoked, as in Redis. */
  readonly #unknownRevoked = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async make(hash: string, { userId, follow, sessionMs, maker }: TicketRequest): Promise<MadeTicket> {
    const issuedAt = Math.floor(this.#clock.now())
    const expiresAt = issuedAt + sessionMs
    const useBefore = Math.min(issuedAt + FIRST_USE_MS, expiresAt)
    const ticket = { userId, follow, issuedAt, expiresAt }
    this.#unused.put(hash, { ticket, maker, useBefore, connectionId: null, fence: 0, isRevoked: false })
    const isOver = (stored: Stored) => stored.useBefore <= issuedAt
    this.#unused.dropOldest(isOver)
    this.#unused.makeRoom(isOver)
    return { issuedAt, expiresAt, useBefore }
  }

  async find(hash: string): Promise<Ticket | null> {
    return this.#usable(hash)?.ticket ?? null
  }

  async take(hash: string, connectionId: string, isReturning: boolean): Promise<Taken> {
    const stored = this.#usable(hash)
    if (stored === undefined) return { outcome: 'gone' }
    if (stored.connectionId !== null && !isReturning) return { outcome: 'held' }
    stored.connectionId = connectionId
    if (stored.fence === 0) this.#use(hash, stored)
    return { outcome: 'taken', fence: ++stored.fence }
  }

  async leave(hash: string, connectionId: string): Promise<void> {
    const stored = this.#used.find(hash)
    if (stored?.connectionId === connectionId) stored.connectionId = null
  }

  async revoke(hash: string): Promise<boolean> {
    const stored = this.#stored(hash)
    if (stored !== undefined) {
      const wasGood = !stored.isRevoked
      stored.isRevoked = true
      return wasGood
    }
    this.#unknownRevoked.add(hash)
    if (this.#unknownRevoked.size > MAX_UNKNOWN_REVOKED) {
      this.#unknownRevoked.delete(this.#unknownRevoked.keys().next().value!)
    }
    return false
  }

  async keep(hash: string, ticket: Ticket, connectionId: string, fence: number): Promise<Kept> {
    const stored = this.#stored(hash)
    if (stored?.isRevoked || this.#unknownRevoked.has(hash)) return 'revoked'
    if (stored !== undefined && stored.fence > fence) return 'replaced'
    const maker = stored?.maker ?? ''
    this.#use(hash, { ticket, maker, useBefore: ticket.expiresAt, connectionId, fence, isRevoked: false })
    return stored !== undefined && stored.fence < fence ? 'regained' : 'yours'
  }

  #use(hash: string, stored: Stored): void {
    this.#unused.delete(hash)
    this.#used.put(hash, stored)
    const now = this.#clock.now()
    this.#used.makeRoom(({ ticket }) => ticket.expiresAt <= now)
  }

  #stored(hash: string): Stored | undefined {
    return this.#used.find(hash) ?? this.#unused.find(hash)
  }

  #usable(hash: string): Stored | undefined {
    const stored = this.#stored(hash)
    if (stored === undefined || stored.isRevoked) return undefined
    const until = stored.fence === 0 ? stored.useBefore : stored.ticket.expiresAt
    return until > this.#clock.now() ? stored : undefined
  }
}
