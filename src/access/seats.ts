import type { Writable } from 'node:stream'
import type { Viewer } from '../auth/viewer.js'
import { Unauthorized } from '../errors.js'
import type { Gateway } from '../gateway.js'
import type { Log } from '../log.js'
import type { Replicas } from '../replicas/replicas.js'
import type { Connection } from '../stream/connection.js'
import type { Ticket, TicketStore } from './tickets.js'

/** What seats are made of. */
export interface SeatsOptions {
  readonly gateway: Gateway
  readonly tickets: TicketStore
  readonly replicas: Replicas
  readonly log: Log
}

/** A ticket that a connection uses. */
export interface Seat {
  readonly hash: string
  readonly ticket: Ticket
  readonly fence: number
}

type Sitting = Seat & { readonly connection: Connection }
type Ending = { readonly fence: number; readonly reason: 'replaced' | 'revoked'; readonly heardAt: number }

const SYNC_AT_ONCE = 500
// Ends of tickets are remembered for connections that are just being made, and for a Redis that lost them.
const REMEMBERED_ENDINGS = 1_000
const LOST_AGAIN_MS = 600_000

/**
 * Connections of this replica that came with a ticket. Over all replicas, a ticket has one connection at a time. A seat is
 *
 *   taken    from `take` to `sit`: known to the caller only. An end that comes meanwhile is kept in `#endings`   -> sitting, ended
 *   sitting  in `#sitting`                                                                                       -> ended, left
 *   ended    its connection has ended, and its output may still be open. It may be in `#sitting`, where `has` and `end` pass over it
 *                                                                                                                -> left
 *   left     its output has closed: not in `#sitting`, and the ticket is given back unless this replica closes
 */
export class Seats {
  readonly #options: SeatsOptions
  /** Both by the ticket's hash. */
  readonly #sitting = new Map<string, Sitting>()
  readonly #endings = new Map<string, Ending>()
  #isClosed = false

  constructor(options: SeatsOptions) {
    this.#options = options
  }

  /** Tickets are not given back any more, because the store is about to be closed. Idempotent. */
  close(): void {
    this.#isClosed = true
  }

  /** As `Access.takeSeat`. */
  async take(viewer: Viewer & { ticket: string }, connectionId: string, isReturning: boolean): Promise<Seat | null> {
    const { tickets, replicas } = this.#options
    const { ticket: hash, userId, follow, issuedAt, expiresAt } = viewer
    let taken = await tickets.take(hash, connectionId, isReturning)
    if (taken.outcome === 'held') {
      // A replica that died never gave the ticket back. Only an answer to this proves that a stream has it.
      if ((await replicas.ask({ kind: 'probe-ticket', hash })) > 0) return null
      taken = await tickets.take(hash, connectionId, true)
    }
    if (taken.outcome !== 'taken') throw ticketGone()
    const { fence } = taken
    if (fence > 1)
      this.#inBackground(replicas.ask({ kind: 'replace-ticket', hash, fence }), 'replacing a stream failed')
    // Safe: a ticket says when it was made and when it ends.
    return { hash, fence, ticket: { userId, follow, issuedAt: issuedAt!, expiresAt: expiresAt! } }
  }

  /** The connection uses the seat from now on, until its output closes. */
  sit(connection: Connection, seat: Seat, output: Writable): void {
    const { hash, fence } = seat
    const { gateway } = this.#options
    const other = this.#sitting.get(hash)
    // Two connections may come back at once: the one with the higher fence stays, in whatever order they sit down.
    if (other !== undefined && other.fence > fence) {
      gateway.disconnect(connection, 'replaced')
      return
    }
    if (other !== undefined) gateway.disconnect(other.connection, 'replaced')
    this.#sitting.set(hash, { ...seat, connection })
    output.once('close', () => {
      if (this.#sitting.get(hash)?.connection === connection) this.#sitting.delete(hash)
      if (!this.#isClosed)
        this.#inBackground(this.#options.tickets.leave(hash, connection.id), 'leaving a ticket failed')
    })
    // The ticket was ended after `take` and before this.
    const ending = this.#endings.get(hash)
    if (ending !== undefined && fence < ending.fence) gateway.disconnect(connection, ending.reason)
  }

  /** True while a stream of this replica uses the ticket. */
  has(hash: string): boolean {
    return this.#sitting.get(hash)?.connection.isEnded === false
  }

  /** Ends the stream that uses the ticket with a lower fence, now or in a moment; answers how many it was. */
  end(hash: string, fence: number, reason: 'replaced' | 'revoked'): number {
    if (this.#endings.size >= REMEMBERED_ENDINGS) this.#endings.delete(this.#endings.keys().next().value!)
    // Commands of two replicas may come in any order.
    const known = this.#endings.get(hash)
    if (fence > (known?.fence ?? 0)) this.#endings.set(hash, { fence, reason, heardAt: performance.now() })
    const seat = this.#sitting.get(hash)
    if (seat === undefined || seat.fence >= fence || seat.connection.isEnded) return 0
    this.#options.gateway.disconnect(seat.connection, reason)
    return 1
  }

  /** Looks up missed ends, and tells the store again what it may have lost. @throws AccessUnavailable */
  async sync(): Promise<void> {
    const since = performance.now() - LOST_AGAIN_MS
    const revoked = [...this.#endings].filter(([, { reason, heardAt }]) => reason === 'revoked' && heardAt > since)
    await inGroups(revoked, ([hash]) => this.#revokeAgain(hash))
    await inGroups([...this.#sitting.values()], seat => this.#keep(seat))
  }

  // If the ticket was good again, another replica with an open stream of it had put it back.
  async #revokeAgain(hash: string): Promise<void> {
    const { tickets, replicas } = this.#options
    if (!(await tickets.revoke(hash))) return
    this.#inBackground(replicas.ask({ kind: 'revoke-ticket', hash }), 'revoking a restored ticket failed')
  }

  async #keep({ hash, ticket, fence, connection }: Sitting): Promise<void> {
    const { tickets, replicas, gateway } = this.#options
    const verdict = await tickets.keep(hash, ticket, connection.id, fence)
    if (verdict === 'regained') {
      this.#inBackground(replicas.ask({ kind: 'replace-ticket', hash, fence }), 'replacing a stream failed')
    } else if (verdict !== 'yours') gateway.disconnect(connection, verdict)
  }

  #inBackground(work: Promise<unknown>, failure: string): void {
    work.catch((error: unknown) => this.#options.log.warn({ err: error }, failure))
  }
}

async function inGroups<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += SYNC_AT_ONCE) await Promise.all(items.slice(i, i + SYNC_AT_ONCE).map(work))
}

/** A ticket that may not be used. */
export function ticketGone(): Error {
  return new Unauthorized(
    'the ticket is not good here: it was not used within 60 s, its session is over, or it was revoked; ask for a new one',
  )
}
