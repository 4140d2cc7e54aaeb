import { hash, randomBytes } from 'node:crypto'

/** What a ticket stands for. */
export interface Ticket {
  readonly userId: string
  readonly follow: readonly string[]
  /** Ms since 1970. */
  readonly issuedAt: number
  /** When its session ends, in ms since 1970. */
  readonly expiresAt: number
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
 *   revoked  refused, and remembered as such for as long as a replica may still have a stream of it
 *
 * @throws AccessUnavailable  from every method: nothing was changed, as far as can be told
 */
export interface TicketStore {
  put(hash: string, ticket: Ticket): Promise<void>
  /** The ticket, if it may be used. */
  find(hash: string): Promise<Ticket | null>
  /** Makes the connection its only user. One that does not return (`isReturning`) gets it only when nobody has it. */
  take(hash: string, connectionId: string, isReturning: boolean): Promise<Taken>
  /** The connection is over. */
  leave(hash: string, connectionId: string): Promise<void>
  revoke(hash: string): Promise<void>
  /** Whether a stream that is still open may stay, after news may have been missed. What the store lost is put back. */
  keep(hash: string, ticket: Ticket, connectionId: string, turn: number): Promise<'yours' | 'replaced' | 'revoked'>
}

/** A ticket must be used within this time. */
export const FIRST_USE_MS = 60_000

/** How long a ticket's session lasts at most, and if nothing else is asked for. */
export const MAX_SESSION_MS = 12 * 3_600_000

/** A new ticket: 256 random bits behind a mark that secret scanners can look for. */
export function newTicket(): string {
  return `tkt_${randomBytes(32).toString('base64url')}`
}

/** What a ticket is stored and spoken of as. */
export function hashTicket(ticket: string): string {
  return hash('sha256', ticket, 'base64url')
}

interface Stored {
  ticket: Ticket
  usableUntil: number
  connectionId: string | null
  turn: number
  isRevoked: boolean
}

const PURGE_FROM = 1_000

/** Tickets of a single process. */
export class MemoryTickets implements TicketStore {
  readonly #tickets = new Map<string, Stored>()
  readonly #now: () => number
  #purgeAt = PURGE_FROM

  /** `now` is in ms since 1970. */
  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  async put(hash: string, ticket: Ticket): Promise<void> {
    if (this.#tickets.size >= this.#purgeAt) this.#purge()
    const usableUntil = Math.min(this.#now() + FIRST_USE_MS, ticket.expiresAt)
    this.#tickets.set(hash, { ticket, usableUntil, connectionId: null, turn: 0, isRevoked: false })
  }

  async find(hash: string): Promise<Ticket | null> {
    return this.#usable(hash)?.ticket ?? null
  }

  async take(hash: string, connectionId: string, isReturning: boolean): Promise<Taken> {
    const stored = this.#usable(hash)
    if (stored === undefined) return { outcome: 'gone' }
    if (stored.connectionId !== null && !isReturning) return { outcome: 'held' }
    stored.connectionId = connectionId
    stored.usableUntil = stored.ticket.expiresAt
    return { outcome: 'taken', turn: ++stored.turn }
  }

  async leave(hash: string, connectionId: string): Promise<void> {
    const stored = this.#tickets.get(hash)
    if (stored?.connectionId === connectionId) stored.connectionId = null
  }

  async revoke(hash: string): Promise<void> {
    const stored = this.#tickets.get(hash)
    if (stored !== undefined) stored.isRevoked = true
  }

  async keep(): Promise<'yours'> {
    return 'yours'
  }

  #usable(hash: string): Stored | undefined {
    const stored = this.#tickets.get(hash)
    return stored !== undefined && !stored.isRevoked && stored.usableUntil > this.#now() ? stored : undefined
  }

  #purge(): void {
    for (const [hash, { usableUntil }] of this.#tickets) if (usableUntil <= this.#now()) this.#tickets.delete(hash)
    this.#purgeAt = Math.max(PURGE_FROM, this.#tickets.size * 2)
  }
}
