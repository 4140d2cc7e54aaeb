import type { Writable } from 'node:stream'
import type { Signal, Signals } from '../replicas/replicas.js'
import type { Clock } from '../clock.js'
import { InvalidTicket, Unauthorized } from '../errors.js'
import type { Gateway } from '../gateway.js'
import type { Log } from '../log.js'
import type { Connection } from '../stream/connection.js'
import { Freshness } from './freshness.js'
import { isRevoked, type RevocationStore } from './revocations.js'
import { type Seat, Seats, ticketGone } from './seats.js'
import type { DateOf } from './sightings.js'
import { hashTicket, isTicket, newTicket, type TicketRequest, type TicketStore } from './tickets.js'
import type { Viewer } from '../auth/viewer.js'

/** What access is made of. */
export interface AccessOptions {
  readonly gateway: Gateway
  readonly tickets: TicketStore
  readonly revocations: RevocationStore
  readonly signals: Signals
  readonly clock: Clock
  readonly dateOf: DateOf
  readonly log: Log
}

/** A ticket as its maker gets it: the only time that it is seen. */
export interface NewTicket {
  readonly ticket: string
  /** When its session ends, and until when it must be used first; ms since 1970. */
  readonly expiresAt: number
  readonly useBefore: number
}

const SYNC_RETRY_MS = 1_000
// Revocations that were put back are looked up at once, and then now and then: many replicas may put back at the same time.
const LOOK_AGAIN_MS = 10_000
const DATED_AHEAD_MS = 5_000
const CHECKED_A_TURN = 1_000

/**
 * Begins and ends of access, on all replicas: tickets, revoked users, streams that are ended on purpose. Signals do it at once;
 * what a replica missed while it was cut off is looked up when it is back.
 */
export class Access {
  readonly #options: AccessOptions
  readonly #freshness: Freshness
  readonly #seats: Seats
  #syncTimer: NodeJS.Timeout | null = null
  #isSyncing = false
  #mustSyncAgain = false
  #lookTimer: NodeJS.Timeout | null = null
  #mustLookAgain = false
  /** True while tickets must be looked up too. */
  #mustKeepSeats = false
  #isClosed = false

  constructor(options: AccessOptions) {
    this.#options = options
    this.#seats = new Seats(options)
    this.#freshness = new Freshness(options.revocations.isShared)
    if (this.#freshness.isStarting) options.gateway.holdReady('what was revoked is not known yet')
    options.signals.listen({
      onSignal: signal => this.#onSignal(signal),
      onMissed: () => this.#onMissed(),
      onCutOff: () => this.#freshness.cutOff(),
    })
  }

  /** The time that decides about credentials. */
  get clock(): Clock {
    return this.#options.clock
  }

  /** When a credential counts as made. */
  readonly dateOf: DateOf = async (credential, viewer) => {
    // Which of its dates counts hangs on whether its user was revoked.
    await this.lookUp(viewer.userId)
    return this.#options.dateOf(credential, viewer)
  }

  /**
   * Resolves when users' credentials can be judged: at once, but for a replica that starts.
   * @throws AccessUnavailable  not within 1.5 s
   */
  whenReached(): Promise<void> {
    return this.#freshness.whenReached()
  }

  /**
   * Makes known whether this user was revoked. `null` when that is known anyway; a replica that starts, or is back, asks about
   * each user until it has read who was revoked.
   * @throws AccessUnavailable
   */
  lookUp(userId: string): Promise<void> | null {
    return this.#freshness.isFresh ? null : this.#options.revocations.ask(userId)
  }

  /** Stops looking things up. Idempotent. */
  close(): void {
    this.#isClosed = true
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer)
    if (this.#lookTimer !== null) clearTimeout(this.#lookTimer)
    this.#seats.close()
    this.#freshness.release()
  }

  /** Makes a ticket. @throws AccessUnavailable */
  async createTicket(request: TicketRequest): Promise<NewTicket> {
    const ticket = newTicket()
    const { expiresAt, useBefore } = await this.#options.tickets.make(hashTicket(ticket), request)
    return { ticket, expiresAt, useBefore }
  }

  /**
   * Who comes with this ticket. Does not use it up.
   * @throws Unauthorized       it may not be used
   * @throws AccessUnavailable  nobody can tell now
   */
  async viewerOf(ticket: string): Promise<Viewer> {
    if (!isTicket(ticket)) throw ticketGone()
    await this.whenReached()
    const hash = hashTicket(ticket)
    const found = await this.#options.tickets.find(hash)
    if (found === null) throw ticketGone()
    const { userId, follow, issuedAt, expiresAt } = found
    return { userId, kind: 'user', follow, publish: [], expiresAt, issuedAt, ticket: hash }
  }

  /** @throws Unauthorized  the viewer's credential was made before its user was revoked */
  refuseRevoked(viewer: Viewer): void {
    if (isRevoked(this.#options.revocations.known, viewer)) {
      throw new Unauthorized('the access of this user was revoked after this credential was made; sign in again')
    }
  }

  /**
   * Makes the connection that is about to be attached the only user of the viewer's ticket; `null` when another stream has
   * it. Only an EventSource that comes back (`isReturning`: it names a position) takes it from another: its broken
   * link may look alive from here. A connection that opens the same URL meanwhile is a second user, and is turned away.
   * @throws Unauthorized, AccessUnavailable
   */
  takeSeat(viewer: Viewer & { ticket: string }, connectionId: string, isReturning: boolean): Promise<Seat | null> {
    return this.#seats.take(viewer, connectionId, isReturning)
  }

  /** The connection uses the seat from now on, until its output closes. */
  sit(connection: Connection, seat: Seat, output: Writable): void {
    this.#seats.sit(connection, seat, output)
  }

  /**
   * Ends the user's streams on every replica, and refuses credentials made until now for as long as they could live.
   * Resolves with how many streams ended. @throws AccessUnavailable
   */
  async revokeUser(userId: string): Promise<number> {
    const at = await this.#options.revocations.revoke(userId)
    // Not by the signal: this replica may hear none now, and would learn nothing new of it when it hears again.
    const here = this.#revoke(userId, at)
    return here + (await this.#options.signals.send({ kind: 'revoke-user', userId, at }))
  }

  /**
   * Refuses the ticket from now on, and ends its stream wherever it is; resolves with how many.
   * @throws InvalidTicket, AccessUnavailable
   */
  async revokeTicket(ticket: string): Promise<number> {
    if (!isTicket(ticket)) throw new InvalidTicket()
    const hash = hashTicket(ticket)
    await this.#options.tickets.revoke(hash)
    const here = this.#seats.end(hash, Number.POSITIVE_INFINITY, 'revoked')
    return here + (await this.#options.signals.send({ kind: 'revoke-ticket', hash }))
  }

  /** Ends one stream wherever it is; resolves with how many (0 or 1). @throws AccessUnavailable */
  async disconnect(connectionId: string): Promise<number> {
    return this.#disconnectHere(connectionId) || this.#options.signals.send({ kind: 'disconnect', connectionId })
  }

  #onSignal(signal: Signal): number {
    switch (signal.kind) {
      case 'revoke-user':
        return this.#revoke(signal.userId, signal.at)
      case 'revoke-ticket':
        return this.#seats.end(signal.hash, Number.POSITIVE_INFINITY, 'revoked')
      case 'replace-ticket':
        return this.#seats.end(signal.hash, signal.turn, 'replaced')
      case 'probe-ticket':
        return this.#seats.has(signal.hash) ? 1 : 0
      case 'disconnect':
        return this.#disconnectHere(signal.connectionId)
      case 'look-up-revocations':
        this.#lookUp()
        return 0
      default:
        // From a replica of a later version.
        return 0
    }
  }

  #revoke(userId: string, at: number): number {
    const { gateway } = this.#options
    this.#options.revocations.known.note(userId, at)
    // No credential dated ahead is let in. One that is ahead now was made before the clock was set back, and so before this.
    const ahead = this.clock.now() + DATED_AHEAD_MS
    const isOlder = ({ issuedAt }: Connection) => issuedAt === null || issuedAt <= at || issuedAt > ahead
    const ended = gateway.connectionsOf(userId).filter(isOlder)
    for (const connection of ended) gateway.disconnect(connection, 'revoked')
    return ended.length
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

  #onMissed(): void {
    this.#freshness.miss()
    this.#mustKeepSeats = true
    void this.#sync()
  }

  #lookUp(): void {
    if (this.#lookTimer !== null) {
      this.#mustLookAgain = true
      return
    }
    void this.#sync()
    this.#lookTimer = setTimeout(() => {
      this.#lookTimer = null
      if (this.#mustLookAgain) this.#lookUp()
    }, LOOK_AGAIN_MS).unref()
    this.#mustLookAgain = false
  }

  // After something may have been missed. Tries again until it is done: a revoked credential must not stay good here.
  async #sync(): Promise<void> {
    if (this.#isClosed) return
    if (this.#isSyncing) {
      this.#mustSyncAgain = true
      return
    }
    this.#isSyncing = true
    this.#mustSyncAgain = false
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer)
    try {
      await this.#syncRevocations()
      if (this.#mustKeepSeats) {
        this.#mustKeepSeats = false
        await this.#seats.sync().catch((error: unknown) => {
          this.#mustKeepSeats = true
          throw error
        })
      }
    } catch (error) {
      if (!this.#isClosed) {
        this.#options.log.warn({ err: error }, 'revocations could not be looked up, trying again')
        this.#syncTimer = setTimeout(() => void this.#sync(), SYNC_RETRY_MS).unref()
      }
    } finally {
      this.#isSyncing = false
      if (this.#mustSyncAgain) void this.#sync()
    }
  }

  async #syncRevocations(): Promise<void> {
    const { revocations, gateway, signals } = this.#options
    if (this.#freshness.isStarting) {
      // Any question will do: once Redis answers, this replica can tell of each user whether they were revoked.
      await revocations.ask('')
      this.#freshness.reach()
      gateway.holdReady(null)
    }
    const hasNews = await revocations.learn()
    // What was missed while this was under way is learned next.
    if (!this.#mustSyncAgain) this.#freshness.learn()
    if (hasNews) await this.#endRevoked()
    // A failover may have lost what was written last. Others may have looked for it meanwhile.
    if (await revocations.restore()) {
      this.#inBackground(signals.send({ kind: 'look-up-revocations' }), 'telling of restored revocations failed')
    }
  }

  // Nobody knows whose the news are, but whose each stream is. Some in one turn: the streams of others go on meanwhile.
  async #endRevoked(): Promise<void> {
    const { gateway, revocations } = this.#options
    let checked = 0
    for (const connection of [...gateway.connections]) {
      if (revocations.known.covers(connection.userId, connection.issuedAt)) gateway.disconnect(connection, 'revoked')
      if (++checked % CHECKED_A_TURN === 0) await new Promise(resolve => setImmediate(resolve))
    }
  }

  #inBackground(work: Promise<unknown>, failure: string): void {
    work.catch((error: unknown) => this.#options.log.warn({ err: error }, failure))
  }
}
