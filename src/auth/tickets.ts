import { hash, randomBytes } from 'node:crypto'
import type { Clock } from '../clock.js'

/** What a ticket stands for. */
export interface Ticket {
  readonly userId: string
  readonly follow: readonly string[]
  /** Ms since 1970. */
  readonly issuedAt: number
  /** When its session ends, in ms since 1970. */
  readonly expiresAt: number
}

/** What a ticket is to stand for. */
export interface TicketRequest {
  readonly userId: string
  readonly follow: readonly string[]
  /** How long its session lasts. */
  readonly sessionMs: number
  /** Who asks for it: whoever makes too many loses their own first. */
  readonly maker?: string
}

/** When a ticket was made, when its session ends, and until when it must be used first: ms since 1970 by the shared clock. */
export interface MadeTicket {
  readonly issuedAt: number
  readonly expiresAt: number
  readonly useBefore: number
}

/**
 * What came of wanting to use a ticket. `taken`: it is the caller's, and every earlier turn is over. `held`: another stream
 * has it. `gone`: not made here, not used in time, over, or revoked.
 */
export type Taken = { readonly outcome: 'taken'; readonly turn: number } | { readonly outcome: 'held' | 'gone' }

/**
 * What replicas share about tickets, each known by its hash only.
 *
 *   fresh    made; gone unless it is taken within `FIRST_USE_MS`
 *   used     by one connection, or by none between two; until its session ends
 *   revoked  refused, and remembered as such for as long as a replica may still have a stream of it; of those that the store
 *            never heard of, the newest ten thousand
 *
 * @throws AccessUnavailable  from every method: nothing was changed, as far as can be told
 */
export interface TicketStore {
  /** The store's clock says when: that of a replica may be wrong. */
  make(hash: string, request: TicketRequest): Promise<MadeTicket>
  /** The ticket, if it may be used. */
  find(hash: string): Promise<Ticket | null>
  /** Makes the connection its only user. One that does not return (`isReturning`) gets it only when nobody has it. */
  take(hash: string, connectionId: string, isReturning: boolean): Promise<Taken>
  /** The connection is over. */
  leave(hash: string, connectionId: string): Promise<void>
  /** Resolves with whether it was good until then, as far as the store knew. */
  revoke(hash: string): Promise<boolean>
  /** Whether a stream that is still open may stay, after news may have been missed. What the store lost is put back. */
  keep(hash: string, ticket: Ticket, connectionId: string, turn: number): Promise<Kept>
}

/**
 * What became of the ticket of a stream that is open. `regained`: it is the stream's, but the store knew of an earlier turn
 * only, whose stream may be open too.
 */
export type Kept = 'yours' | 'regained' | 'replaced' | 'revoked'

/** A ticket must be used within this time. */
export const FIRST_USE_MS = 60_000

/** How long a ticket's session lasts at most, and if nothing else is asked for. */
export const MAX_SESSION_MS = 12 * 3_600_000

/** A new ticket: 256 random bits behind a mark that secret scanners can look for. */
export function newTicket(): string {
  return `tkt_${randomBytes(32).toString('base64url')}`
}

/** True for what may be a ticket. */
export function isTicket(text: string): boolean {
  return /^tkt_[A-Za-z0-9_-]{43}$/.test(text)
}

/** What a ticket is stored and spoken of as. */
export function hashTicket(ticket: string): string {
  return hash('sha256', ticket, 'base64url')
}

interface Stored {
  readonly ticket: Ticket
  readonly useBefore: number
  readonly maker: string
  connectionId: string | null
  turn: number
  isRevoked: boolean
}

const MAX_UNUSED = 10_000
const MAX_UNUSED_LENGTH = 16 * 1_048_576
const MAX_USED = 100_000
const MAX_USED_LENGTH = 64 * 1_048_576
const MAX_UNKNOWN_REVOKED = 10_000

/**
 * Tickets of a single process. Bounded, whoever asks for how many: past ten thousand unused ones or 16 Mi characters of rooms
 * the oldest unused of the maker that has most of them go, past a hundred thousand used ones or 64 Mi characters the oldest that no
 * stream uses now.
 */
export class MemoryTickets implements TicketStore {
  readonly #clock: Clock
  readonly #unused = new Map<string, Stored>()
  #unusedLength = 0
  /** The unused ones of each maker, by hash, and their length; nobody who has none. */
  readonly #makers = new Map<string, { readonly hashes: Set<string>; length: number }>()
  readonly #used = new Map<string, Stored>()
  #usedLength = 0
  /** Revoked without having been known, as in Redis. */
  readonly #unknownRevoked = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async make(hash: string, { userId, follow, sessionMs, maker = '' }: TicketRequest): Promise<MadeTicket> {
    const issuedAt = Math.floor(this.#clock.now())
    const expiresAt = issuedAt + sessionMs
    const useBefore = Math.min(issuedAt + FIRST_USE_MS, expiresAt)
    const ticket = { userId, follow, issuedAt, expiresAt }
    this.#addUnused(hash, { ticket, useBefore, maker, connectionId: null, turn: 0, isRevoked: false })
    // Oldest first: those are over first, too.
    for (const [oldest, stored] of this.#unused) {
      if (oldest === hash || stored.useBefore > issuedAt) break
      this.#forgetUnused(oldest, stored)
    }
    while (this.#unused.size > MAX_UNUSED || this.#unusedLength > MAX_UNUSED_LENGTH) {
      const oldest = this.#oldestOfLargest()
      this.#forgetUnused(oldest, this.#unused.get(oldest)!)
    }
    return { issuedAt, expiresAt, useBefore }
  }

  async find(hash: string): Promise<Ticket | null> {
    return this.#usable(hash)?.ticket ?? null
  }

  async take(hash: string, connectionId: string, isReturning: boolean): Promise<Taken> {
    const stored = this.#usable(hash)
    if (stored === undefined) return { outcome: 'gone' }
    if (stored.connectionId !== null && !isReturning) return { outcome: 'held' }
    if (stored.turn === 0) {
      this.#forgetUnused(hash, stored)
      this.#addUsed(hash, stored)
    }
    stored.connectionId = connectionId
    return { outcome: 'taken', turn: ++stored.turn }
  }

  async leave(hash: string, connectionId: string): Promise<void> {
    const stored = this.#used.get(hash)
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

  async keep(hash: string, ticket: Ticket, connectionId: string, turn: number): Promise<Kept> {
    const stored = this.#stored(hash)
    if (stored?.isRevoked || this.#unknownRevoked.has(hash)) return 'revoked'
    if (stored !== undefined && stored.turn > turn) return 'replaced'
    if (stored?.turn === 0) this.#forgetUnused(hash, stored)
    else if (stored !== undefined) this.#forgetUsed(hash, stored)
    this.#addUsed(hash, { ticket, useBefore: ticket.expiresAt, maker: '', connectionId, turn, isRevoked: false })
    return stored !== undefined && stored.turn < turn ? 'regained' : 'yours'
  }

  #stored(hash: string): Stored | undefined {
    return this.#used.get(hash) ?? this.#unused.get(hash)
  }

  #usable(hash: string): Stored | undefined {
    const stored = this.#stored(hash)
    if (stored === undefined || stored.isRevoked) return undefined
    const until = stored.turn === 0 ? stored.useBefore : stored.ticket.expiresAt
    return until > this.#clock.now() ? stored : undefined
  }

  #addUnused(hash: string, stored: Stored): void {
    const length = lengthOf(stored.ticket)
    const made = this.#makers.get(stored.maker) ?? { hashes: new Set(), length: 0 }
    this.#makers.set(stored.maker, made)
    made.hashes.add(hash)
    made.length += length
    this.#unused.set(hash, stored)
    this.#unusedLength += length
  }

  #forgetUnused(hash: string, { ticket, maker }: Stored): void {
    const made = this.#makers.get(maker)
    if (made === undefined || !this.#unused.delete(hash)) return
    const length = lengthOf(ticket)
    this.#unusedLength -= length
    made.length -= length
    made.hashes.delete(hash)
    if (made.hashes.size === 0) this.#makers.delete(maker)
  }

  // Makers are few: only API keys make tickets.
  #oldestOfLargest(): string {
    const shareOf = ({ hashes, length }: { hashes: Set<string>; length: number }) =>
      hashes.size / MAX_UNUSED + length / MAX_UNUSED_LENGTH
    const largest = [...this.#makers.values()].reduce((most, made) => (shareOf(made) > shareOf(most) ? made : most))
    return largest.hashes.values().next().value!
  }

  #addUsed(hash: string, stored: Stored): void {
    const length = lengthOf(stored.ticket)
    if (this.#used.size >= MAX_USED || this.#usedLength + length > MAX_USED_LENGTH) this.#makeRoom()
    this.#used.set(hash, stored)
    this.#usedLength += length
  }

  #forgetUsed(hash: string, { ticket }: Stored): void {
    if (this.#used.delete(hash)) this.#usedLength -= lengthOf(ticket)
  }

  // What is over, and then the oldest that no stream uses; a tenth at once, so that it is not looked through for each.
  #makeRoom(): void {
    const now = this.#clock.now()
    for (const [hash, stored] of this.#used) if (stored.ticket.expiresAt <= now) this.#forgetUsed(hash, stored)
    for (const [hash, stored] of this.#used) {
      if (this.#used.size <= MAX_USED * 0.9 && this.#usedLength <= MAX_USED_LENGTH * 0.9) break
      if (stored.connectionId === null) this.#forgetUsed(hash, stored)
    }
  }
}

function lengthOf({ userId, follow }: Ticket): number {
  return follow.reduce((length, pattern) => length + pattern.length, userId.length)
}
