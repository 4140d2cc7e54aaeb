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

/** A request for a ticket. */
export interface TicketRequest {
  readonly userId: string
  readonly follow: readonly string[]
  /** How long its session lasts. */
  readonly sessionMs: number
  /** The maker. A bounded store takes room from the makers of the most tickets. */
  readonly maker: string
}

/** When a ticket was made, when its session ends, and until when it must be used first: ms since 1970 by the shared clock. */
export interface MadeTicket {
  readonly issuedAt: number
  readonly expiresAt: number
  readonly useBefore: number
}

/**
 * The outcome of `take`. `taken`: the ticket is the caller's; `fence` is a fencing token, higher than every earlier one. `held`: another
 * stream has it. `gone`: not made here, not used in time, over, or revoked.
 */
export type Taken = { readonly outcome: 'taken'; readonly fence: number } | { readonly outcome: 'held' | 'gone' }

/**
 * What replicas share about tickets, each known by its hash only.
 *
 *   fresh    made; gone unless it is taken within `FIRST_USE_MS`
 *   used     one connection at a time uses it, until its session ends
 *   revoked  refused, and kept as a tombstone for as long as a replica may still have a stream of it. For unknown tickets the store
 *            keeps the newest ten thousand tombstones
 *
 * @throws AccessUnavailable  from every method: a change whose answer was lost may hold all the same
 */
export interface TicketStore {
  /** Makes a ticket. The store's clock dates it, because the clock of a replica may be wrong. */
  make(hash: string, request: TicketRequest): Promise<MadeTicket>
  /** The ticket, if it may be used. */
  find(hash: string): Promise<Ticket | null>
  /** Makes the connection its only user. Without `isReturning` it gets the ticket only if no connection has it. */
  take(hash: string, connectionId: string, isReturning: boolean): Promise<Taken>
  /** Frees the ticket, if this connection still has it. */
  leave(hash: string, connectionId: string): Promise<void>
  /** Refuses the ticket from now on. Resolves with whether the store knew it, and had not revoked it before. */
  revoke(hash: string): Promise<boolean>
  /** Resolves with whether an open stream may stay, after commands may have been missed. Puts back a ticket that the store lost. */
  keep(hash: string, ticket: Ticket, connectionId: string, fence: number): Promise<Kept>
}

/**
 * The outcome of `keep`. `yours`: the stream may stay. `regained`: it may stay, but the store knew a lower fence, and the stream of that
 * fence may be open, too. `replaced`: another stream has a higher fence.
 */
export type Kept = 'yours' | 'regained' | 'replaced' | 'revoked'

/** A ticket must be used within this time. */
export const FIRST_USE_MS = 60_000

/** How long a ticket's session lasts at most, and by default. */
export const MAX_SESSION_MS = 12 * 3_600_000

/** A new ticket: 256 random bits behind a mark that secret scanners can look for. */
export function newTicket(): string {
  return `tkt_${randomBytes(32).toString('base64url')}`
}

/** True for a text in the form of a ticket. */
export function isTicket(text: string): boolean {
  return /^tkt_[A-Za-z0-9_-]{43}$/.test(text)
}

/** The hash by which a ticket is stored and named. */
export function hashTicket(ticket: string): string {
  return hash('sha256', ticket, 'base64url')
}
