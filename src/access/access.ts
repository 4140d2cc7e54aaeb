import type { Writable } from 'node:stream'
import type { DateOf, Viewer } from '../auth/viewer.js'
import type { Clock } from '../clock.js'
import { InvalidTicket, Unauthorized } from '../errors.js'
import type { Gateway } from '../gateway.js'
import type { Log } from '../log.js'
import type { ReplicaCommand, Replicas } from '../replicas/replicas.js'
import type { Connection } from '../stream/connection.js'
import { CatchUp } from './catch-up.js'
import { isRevoked } from './revocations.js'
import { type Seat, Seats, ticketGone } from './seats.js'
import { createDateOf } from './sightings.js'
import type { AccessStores } from './stores.js'
import { hashTicket, isTicket, newTicket, type TicketRequest } from './tickets.js'

/** What access is made of. */
export interface AccessOptions {
  readonly gateway: Gateway
  readonly stores: AccessStores
  readonly replicas: Replicas
  readonly clock: Clock
  /** The longest that a credential lives, in ms. */
  readonly lifeMs: number
  readonly log: Log
}

/** A ticket as its maker gets it. It is shown this once. */
export interface NewTicket {
  readonly ticket: string
  /** When its session ends, in ms since 1970. */
  readonly expiresAt: number
  /** The first use must come before this, in ms since 1970. */
  readonly useBefore: number
}

const DATED_AHEAD_MS = 5_000

/**
 * Grants and revokes access, on every replica: tickets, revoked users, streams that are ended on purpose. A command ends streams on
 * the other replicas at once. A replica that was cut off looks up what it missed when it is back (catch-up.ts).
 */
export class Access {
  readonly #options: AccessOptions
  readonly #stores: AccessStores
  readonly #catchUp: CatchUp
  readonly #seats: Seats
  readonly #dateOf: DateOf

  constructor(options: AccessOptions) {
    const { clock, lifeMs, replicas, stores } = options
    const { sightings, revocations } = stores
    this.#options = options
    this.#stores = stores
    this.#dateOf = createDateOf({ clock, sightings, revocations: revocations.known, lifeMs })
    this.#seats = new Seats({ ...options, tickets: stores.tickets })
    this.#catchUp = new CatchUp({ ...options, revocations, seats: this.#seats })
    replicas.listen({
      onCommand: command => this.#onCommand(command),
      onMissed: () => this.#catchUp.miss(),
      onCutOff: () => this.#catchUp.cutOff(),
    })
  }

  /** The clock that credentials are judged by. */
  get clock(): Clock {
    return this.#options.clock
  }

  /** When a credential counts as made. */
  readonly dateOf: DateOf = async (credential, viewer) => {
    // The date depends on whether the user was revoked, so this replica must know that first.
    await this.lookUp(viewer.userId)
    return this.#dateOf(credential, viewer)
  }

  /**
   * Resolves when this replica can judge users' credentials: at once, unless it is just starting.
   * @throws AccessUnavailable  not within 1.5 s
   */
  whenReached(): Promise<void> {
    return this.#catchUp.whenReached()
  }

  /**
   * Asks whether this user was revoked. Returns `null` if this replica knows already. A replica that starts, or is back after a break, asks
   * about each user until it has read all revocations.
   * @throws AccessUnavailable
   */
  lookUp(userId: string): Promise<void> | null {
    return this.#catchUp.isFresh ? null : this.#stores.revocations.ask(userId)
  }

  /** Stops looking things up. Idempotent. */
  close(): void {
    this.#seats.close()
    this.#catchUp.close()
  }

  /** Makes a ticket. @throws AccessUnavailable */
  async createTicket(request: TicketRequest): Promise<NewTicket> {
    const ticket = newTicket()
    const { expiresAt, useBefore } = await this.#stores.tickets.make(hashTicket(ticket), request)
    return { ticket, expiresAt, useBefore }
  }

  /**
   * The viewer that comes with this ticket. The call does not use the ticket up.
   * @throws Unauthorized       it may not be used
   * @throws AccessUnavailable  the store cannot be asked now
   */
  async viewerOf(ticket: string): Promise<Viewer> {
    if (!isTicket(ticket)) throw ticketGone()
    await this.whenReached()
    const hash = hashTicket(ticket)
    const found = await this.#stores.tickets.find(hash)
    if (found === null) throw ticketGone()
    const { userId, follow, issuedAt, expiresAt } = found
    return { userId, kind: 'user', follow, publish: [], expiresAt, issuedAt, ticket: hash }
  }

  /** @throws Unauthorized  the viewer's credential was made before its user was revoked */
  refuseRevoked(viewer: Viewer): void {
    if (isRevoked(this.#stores.revocations.known, viewer)) {
      throw new Unauthorized('the access of this user was revoked after this credential was made; sign in again')
    }
  }

  /**
   * Makes a connection the only user of the viewer's ticket, before it is attached. Resolves with `null` if another stream has the ticket.
   * `isReturning` says that the connection names a position, as a returning EventSource does. Only such a connection takes the ticket
   * from another stream, because its broken link may look alive from here. A connection without a position is a second user, and is turned
   * away.
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
    const at = await this.#stores.revocations.revoke(userId)
    // This replica does not wait for its own command: it may be cut off, and would not look up its own revocation later.
    const here = this.#revoke(userId, at)
    return here + (await this.#options.replicas.ask({ kind: 'revoke-user', userId, at }))
  }

  /**
   * Refuses the ticket from now on, and ends its stream on any replica. Resolves with how many streams ended.
   * @throws InvalidTicket, AccessUnavailable
   */
  async revokeTicket(ticket: string): Promise<number> {
    if (!isTicket(ticket)) throw new InvalidTicket()
    const hash = hashTicket(ticket)
    await this.#stores.tickets.revoke(hash)
    const here = this.#seats.end(hash, Number.POSITIVE_INFINITY, 'revoked')
    return here + (await this.#options.replicas.ask({ kind: 'revoke-ticket', hash }))
  }

  /** Ends one stream on any replica. Resolves with how many streams ended (0 or 1). @throws AccessUnavailable */
  async disconnect(connectionId: string): Promise<number> {
    return this.#disconnectHere(connectionId) || this.#options.replicas.ask({ kind: 'disconnect', connectionId })
  }

  #onCommand(command: ReplicaCommand): number {
    switch (command.kind) {
      case 'revoke-user':
        return this.#revoke(command.userId, command.at)
      case 'revoke-ticket':
        return this.#seats.end(command.hash, Number.POSITIVE_INFINITY, 'revoked')
      case 'replace-ticket':
        return this.#seats.end(command.hash, command.fence, 'replaced')
      case 'probe-ticket':
        return this.#seats.has(command.hash) ? 1 : 0
      case 'disconnect':
        return this.#disconnectHere(command.connectionId)
      case 'look-up-revocations':
        this.#catchUp.lookUpSoon()
        return 0
      default:
        // A replica of a later version sent it.
        return 0
    }
  }

  #revoke(userId: string, at: number): number {
    const { gateway } = this.#options
    this.#stores.revocations.known.note(userId, at)
    // No credential dated ahead is let in. So one that is ahead now was made before the clock was set back, and before this revocation.
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
}
