import type { Writable } from 'node:stream'
import type { Signal, Signals } from '../bus/signals.js'
import type { Connection } from '../connection.js'
import { Unauthorized } from '../errors.js'
import type { Gateway } from '../gateway.js'
import type { Log } from '../log.js'
import { type RevocationStore, Revocations } from './revocations.js'
import { FIRST_USE_MS, hashTicket, newTicket, type Ticket, type TicketStore } from './tickets.js'
import type { Viewer } from './viewer.js'

/** What access is made of. */
export interface AccessOptions {
  readonly gateway: Gateway
  readonly tickets: TicketStore
  readonly revocations: RevocationStore
  readonly signals: Signals
  readonly log: Log
}

/** A ticket as its maker gets it: the only time that it is seen. */
export interface NewTicket {
  readonly ticket: string
  /** When its session ends, and until when it must be used first; ms since 1970. */
  readonly expiresAt: number
  readonly useBefore: number
}

/** A ticket that a connection uses. */
export interface Seat {
  readonly hash: string
  readonly ticket: Ticket
  readonly turn: number
}

const SYNC_RETRY_MS = 1_000
const SYNC_AT_ONCE = 500
// Endings of tickets that are remembered for connections which are just being made.
const REMEMBERED_ENDINGS = 1_000

/**
 * Begins and ends of access, on all replicas: tickets, revoked users, streams that are ended on purpose. Signals do it at once;
 * what a replica missed while it was cut off is looked up when it is back.
 */
export class Access {
  readonly #options: AccessOptions
  readonly #revocations = new Revocations()
  /** Connections of this replica that came with a ticket, by its hash. */
  readonly #seats = new Map<string, Seat & { readonly connection: Connection }>()
  readonly #endings = new Map<string, { turn: number; reason: 'replaced' | 'revoked' }>()
  #syncTimer: NodeJS.Timeout | null = null
  #isSyncing = false
  #mustSyncAgain = false
  #isClosed = false

  constructor(options: AccessOptions) {
    this.#options = options
    options.signals.listen({ onSignal: signal => this.#onSignal(signal), onMissed: () => void this.#sync() })
  }

  /** Stops looking things up. Idempotent. */
  close(): void {
    this.#isClosed = true
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer)
  }

  /** Makes a ticket. @throws AccessUnavailable */
  async createTicket(userId: string, follow: readonly string[], ttlMs: number): Promise<NewTicket> {
    const ticket = newTicket()
    const issuedAt = Date.now()
    const expiresAt = issuedAt + ttlMs
    await this.#options.tickets.put(hashTicket(ticket), { userId, follow, issuedAt, expiresAt })
    return { ticket, expiresAt, useBefore: Math.min(issuedAt + FIRST_USE_MS, expiresAt) }
  }

  /**
   * Who comes with this ticket. Does not use it up.
   * @throws Unauthorized       it may not be used
   * @throws AccessUnavailable  nobody can tell now
   */
  async viewerOf(ticket: string): Promise<Viewer> {
    const hash = hashTicket(ticket)
    const found = await this.#options.tickets.find(hash)
    if (found === null || found.expiresAt <= Date.now()) throw ticketGone()
    const { userId, follow, issuedAt, expiresAt } = found
    return { userId, kind: 'user', follow, publish: [], expiresAt, issuedAt, ticket: hash }
  }

  /** @throws Unauthorized  the viewer's credential was made before its user was revoked */
  refuseRevoked(viewer: Viewer): void {
    if (this.#revocations.covers(viewer)) {
      throw new Unauthorized('the access of this user was revoked after this credential was made; sign in again')
    }
  }

  /**
   * Makes the connection that is about to be attached the only user of the viewer's ticket; `null` when another stream has
   * it. Only an EventSource that comes back (`isReturning`: it names its last event) takes it from another: its broken
   * link may look alive from here. Whoever else opens the same URL meanwhile is the second user, and is turned away.
   * @throws Unauthorized, AccessUnavailable
   */
  async takeSeat(
    viewer: Viewer & { ticket: string },
    connectionId: string,
    isReturning: boolean,
  ): Promise<Seat | null> {
    const { tickets, signals } = this.#options
    const { ticket: hash, userId, follow, issuedAt, expiresAt } = viewer
    let taken = await tickets.take(hash, connectionId, isReturning)
    if (taken.outcome === 'held') {
      // A replica that died never gave it back: only an answer proves that somebody has it.
      if ((await signals.send({ kind: 'probe-ticket', hash })) > 0) return null
      taken = await tickets.take(hash, connectionId, true)
    }
    if (taken.outcome !== 'taken') throw ticketGone()
    const { turn } = taken
    if (turn > 1) this.#inBackground(signals.send({ kind: 'replace-ticket', hash, turn }), 'replacing a stream failed')
    return { hash, turn, ticket: { userId, follow, issuedAt: issuedAt!, expiresAt: expiresAt! } }
  }

  /** The connection uses the seat from now on, until its sink closes. */
  sit(connection: Connection, seat: Seat, sink: Writable): void {
    const { hash, turn } = seat
    const { gateway } = this.#options
    const other = this.#seats.get(hash)
    // Two may come back at once: the later turn stays, in whatever order they sit down.
    if (other !== undefined && other.turn > turn) {
      gateway.disconnect(connection, 'replaced')
      return
    }
    if (other !== undefined) gateway.disconnect(other.connection, 'replaced')
    this.#seats.set(hash, { ...seat, connection })
    sink.once('close', () => {
      if (this.#seats.get(hash)?.connection === connection) this.#seats.delete(hash)
      if (!this.#isClosed)
        this.#inBackground(this.#options.tickets.leave(hash, connection.id), 'leaving a ticket failed')
    })
    // Ended between being taken and being used.
    const ending = this.#endings.get(hash)
    if (ending !== undefined && turn < ending.turn) gateway.disconnect(connection, ending.reason)
  }

  /**
   * Ends the user's streams on every replica, and refuses credentials made until now for as long as they could live.
   * Resolves with how many streams ended. @throws AccessUnavailable
   */
  async revokeUser(userId: string): Promise<number> {
    const at = Date.now()
    await this.#options.revocations.put(new Map([[userId, at]]))
    return this.#options.signals.send({ kind: 'revoke-user', userId, at })
  }

  /** Refuses the ticket from now on, and ends its stream wherever it is; resolves with how many. @throws AccessUnavailable */
  async revokeTicket(ticket: string): Promise<number> {
    const hash = hashTicket(ticket)
    await this.#options.tickets.revoke(hash)
    return this.#options.signals.send({ kind: 'revoke-ticket', hash })
  }

  /** Ends one stream wherever it is; resolves with how many (0 or 1). @throws AccessUnavailable */
  disconnect(connectionId: string): Promise<number> {
    return this.#options.signals.send({ kind: 'disconnect', connectionId })
  }

  #onSignal(signal: Signal): number {
    switch (signal.kind) {
      case 'revoke-user':
        return this.#revoke(signal.userId, signal.at)
      case 'revoke-ticket':
        return this.#endSeat(signal.hash, Number.POSITIVE_INFINITY, 'revoked')
      case 'replace-ticket':
        return this.#endSeat(signal.hash, signal.turn, 'replaced')
      case 'probe-ticket':
        return this.#seats.get(signal.hash)?.connection.isEnded === false ? 1 : 0
      case 'disconnect':
        return this.#disconnectHere(signal.connectionId)
      default:
        // From a replica of a later version.
        return 0
    }
  }

  #revoke(userId: string, at: number): number {
    const { gateway } = this.#options
    this.#revocations.note(userId, at)
    const ended = gateway.connectionsOf(userId).filter(({ issuedAt }) => issuedAt === null || issuedAt <= at)
    for (const connection of ended) gateway.disconnect(connection, 'revoked')
    return ended.length
  }

  #endSeat(hash: string, turn: number, reason: 'replaced' | 'revoked'): number {
    if (this.#endings.size >= REMEMBERED_ENDINGS) this.#endings.delete(this.#endings.keys().next().value!)
    // Signals of two replicas may come in any order.
    if (turn > (this.#endings.get(hash)?.turn ?? 0)) this.#endings.set(hash, { turn, reason })
    const seat = this.#seats.get(hash)
    if (seat === undefined || seat.turn >= turn || seat.connection.isEnded) return 0
    this.#options.gateway.disconnect(seat.connection, reason)
    return 1
  }

  #disconnectHere(connectionId: string): number {
    const { gateway } = this.#options
    for (const connection of gateway.connections) {
      if (connection.id !== connectionId) continue
      gateway.disconnect(connection, 'revoked')
      return 1
    }
    return 0
  }

  // After signals may have been missed. Tries again until it is done: a revoked credential must not stay good here.
  async #sync(): Promise<void> {
    if (this.#isClosed) return
    if (this.#isSyncing) {
      this.#mustSyncAgain = true
      return
    }
    this.#isSyncing = true
    this.#mustSyncAgain = false
    try {
      const { revocations } = this.#options
      const revoked = await revocations.all()
      for (const [userId, at] of revoked) if (this.#revocations.note(userId, at)) this.#revoke(userId, at)
      // A failover may have lost what was written last; this replica was told of it.
      await revocations.put(this.#revocations.missingFrom(revoked, Date.now()))
      const seats = [...this.#seats.values()]
      for (let i = 0; i < seats.length; i += SYNC_AT_ONCE) {
        await Promise.all(seats.slice(i, i + SYNC_AT_ONCE).map(seat => this.#keep(seat)))
      }
    } catch (error) {
      this.#options.log.warn({ err: error }, 'revocations could not be looked up, trying again')
      this.#syncTimer = setTimeout(() => void this.#sync(), SYNC_RETRY_MS).unref()
    } finally {
      this.#isSyncing = false
      if (this.#mustSyncAgain) void this.#sync()
    }
  }

  async #keep({ hash, ticket, turn, connection }: Seat & { readonly connection: Connection }): Promise<void> {
    const verdict = await this.#options.tickets.keep(hash, ticket, connection.id, turn)
    if (verdict !== 'yours') this.#options.gateway.disconnect(connection, verdict)
  }

  #inBackground(work: Promise<unknown>, failure: string): void {
    work.catch((error: unknown) => this.#options.log.warn({ err: error }, failure))
  }
}

function ticketGone(): Error {
  return new Unauthorized(
    'the ticket is not good here: it was not used within 60 s, its session is over, or it was revoked; ask for a new one',
  )
}
