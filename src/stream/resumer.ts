import { type Bus, PAGE_BYTES } from '../bus/bus.js'
import { type Cursor, isAfter } from '../cursor.js'
import type { Event, GapReason } from '../event.js'
import { BusUnavailable, BusUncertain } from '../failures.js'
import { Gate } from '../gate.js'
import type { Log } from '../log.js'
import { endOfTurn } from '../turn.js'
import type { Connection } from './connection.js'
import type { Counts } from './counts.js'
import { encodeControl, encodeEvent } from './frame.js'
import type { Hub } from './hub.js'
import { Recovery } from './recovery.js'

/** What a resumer works with. */
export interface ResumerOptions {
  readonly bus: Bus
  readonly hub: Hub
  readonly counts: Counts
  readonly log: Log
  readonly heartbeatMs: number
  readonly queueLimitBytes: number
  /** Makes the hub's pending frames leave in this turn of the event loop. */
  readonly scheduleFlush: () => void
}

// Size of a page, and of the live events held while it is read, as a part of the queue limit.
const PAGE_SHARE = 1 / 4
// Pages that one turn of the event loop reads for readers that wait for a further page. A page is about 1 ms of work.
const PAGES_PER_TURN = 8

/**
 * Opens streams: tells each reader whether it may have missed something, sends the missed events from history at the reader's pace, and
 * lets it go live without a hole or a duplicate. For the resumer a connection is
 *
 *   waiting     in `#waiting`: the bus cannot be asked now; `retry` asks again
 *   recovering  `connection.recovery` reads pages
 *   elsewhere   live, or ended
 */
export class Resumer {
  readonly #options: ResumerOptions
  readonly #pageBytes: number
  readonly #waiting = new Set<Connection>()
  readonly #pages = new Gate(PAGES_PER_TURN)

  constructor(options: ResumerOptions) {
    this.#options = options
    this.#pageBytes = Math.min(PAGE_BYTES, options.queueLimitBytes * PAGE_SHARE)
  }

  /** Opens the stream of a connection that is in the hub; `after` as in `AttachRequest`. */
  open(connection: Connection, after: Cursor | 'unknown' | null): void {
    if (after === null) this.#openFirst(connection)
    // No bus ever gave such an id. It is asked for like a position of an unknown epoch, which is never called whole.
    else void this.#recover(connection, this.#begin(connection, after === 'unknown' ? { epoch: '', seq: 0 } : after))
  }

  /**
   * Tells connections of rooms that may have lost something. A recovery under way may have read before the loss: it reads
   * again, and finds what is lost by itself.
   */
  tellGaps(affected: ReadonlyMap<Connection, readonly string[]>, reason: GapReason): void {
    const restarted: [Connection, Recovery][] = []
    for (const [connection, rooms] of affected) {
      const { recovery } = connection
      // Between two pages, the next one is read after the loss anyway.
      if (recovery?.isPaused) recovery.forgetTold()
      else if (recovery !== null) restarted.push([connection, this.#begin(connection, recovery.after)])
      else if (connection.isOpen) this.#tellGap(connection, rooms, reason)
    }
    // In a later turn, behind the events that the bus hands on in this same step. A recovery that memory ended before them would let them
    // pass, although its reader has a later position already.
    for (const [connection, recovery] of restarted) void this.#recoverLater(connection, recovery)
  }

  /** To be called now and then: settles recoveries that have nothing more to do, and asks again if the bus can be asked. */
  sweep(): void {
    const { hub, bus } = this.#options
    for (const connection of hub.connections) if (connection.recovery !== null) this.#settle(connection)
    if (this.#waiting.size > 0 && bus.health().status === 'ok') this.retry()
  }

  /** Asks the bus again for every connection that waits. */
  retry(): void {
    for (const connection of [...this.#waiting]) {
      this.#waiting.delete(connection)
      if (connection.recovery === null) this.#openFirst(connection)
      else void this.#recoverLater(connection, connection.recovery)
    }
  }

  /** To be called when the connection ended. Idempotent. */
  forget(connection: Connection): void {
    this.#waiting.delete(connection)
  }

  // Ends a recovery that has nothing more to do: this replica's live events are past what was read.
  #settle(connection: Connection): void {
    const { recovery } = connection
    const { position } = this.#options.bus
    if (recovery === null || recovery.isReading || position === null) return
    if (position.epoch === recovery.after.epoch && !isAfter(recovery.after, position)) connection.goLive()
  }

  #openFirst(connection: Connection): void {
    const { bus, counts, heartbeatMs } = this.#options
    if (bus.position === null) this.#waiting.add(connection)
    else {
      counts.resumed.first++
      connection.open(null, bus.position, heartbeatMs)
    }
  }

  #begin(connection: Connection, after: Cursor): Recovery {
    const recovery = new Recovery(after, this.#pageBytes)
    recovery.pause()
    connection.recover(recovery)
    // A connection that stayed here would start a second time when the bus is back, and send everything twice.
    this.#waiting.delete(connection)
    return recovery
  }

  // For many at once: a few begin in each turn of the event loop.
  async #recoverLater(connection: Connection, recovery: Recovery): Promise<void> {
    await this.#pages.run(endOfTurn)
    await this.#recover(connection, recovery)
  }

  // Sends pages until the connection is live, has ended, or has another recovery. It holds no page while it waits for its reader, because
  // thousands may wait, each for as long as it likes.
  async #recover(connection: Connection, recovery: Recovery): Promise<void> {
    const isCurrent = () => connection.recovery === recovery && !connection.isEnded
    while (isCurrent() && recovery.isReading) {
      if (!(await this.#sendPage(connection, recovery, isCurrent))) return
      // A long backlog goes out at the reader's pace. The last page must not wait: live events may follow it at once.
      if (recovery.isReading) await this.#nextTurn(connection, recovery)
    }
    if (isCurrent()) this.#settle(connection)
  }

  // Reads one page and sends it; `false` if this recovery is over or waits for the bus.
  async #sendPage(connection: Connection, recovery: Recovery, isCurrent: () => boolean): Promise<boolean> {
    const { bus } = this.#options
    if (bus.position === null) {
      // Live events of this replica begin at its first position: a page read before that might end short of it.
      this.#waiting.add(connection)
      return false
    }
    try {
      recovery.goOn()
      const answer = bus.replay(recovery.after, connection.rooms, this.#pageBytes)
      const page = answer instanceof Promise ? await answer : answer
      if (!isCurrent()) return false
      const step = recovery.take(page, bus.position)
      this.#send(connection, step.events, step.lost, step.isLive ? recovery.after : null)
      return true
    } catch (error) {
      recovery.pause()
      this.#wait(connection, isCurrent(), error)
      return false
    }
  }

  async #nextTurn(connection: Connection, recovery: Recovery): Promise<void> {
    recovery.pause()
    await connection.drained()
    await this.#pages.run(endOfTurn)
  }

  #wait(connection: Connection, isCurrent: boolean, error: unknown): void {
    const isPassing = error instanceof BusUnavailable || error instanceof BusUncertain
    if (!isPassing) this.#options.log.error({ err: error, connectionId: connection.id }, 'reading history failed')
    if (isCurrent) this.#waiting.add(connection)
  }

  // `end` is the reader's position behind the last page. `stream.open` may carry it only if no event follows.
  #send(connection: Connection, events: readonly Event[], lostBefore: readonly string[], end: Cursor | null): void {
    const { hub, log, scheduleFlush } = this.#options
    const { frames, unsendable } = encodeAll(events, connection.envelope)
    if (unsendable.length > 0) log.error({ rooms: unsendable }, 'history holds events that cannot be sent')
    this.#announce(connection, [...new Set([...lostBefore, ...unsendable])], frames.length === 0 ? end : null)
    for (const frame of frames) hub.enqueue(connection, frame)
    hub.flushOne(connection)
    // The hub lists the connections with pending frames; without a flush it would keep this connection in memory.
    scheduleFlush()
  }

  #announce(connection: Connection, lost: readonly string[], id: Cursor | null): void {
    const { counts, heartbeatMs } = this.#options
    if (connection.isOpen) {
      if (lost.length > 0) this.#tellGap(connection, lost, 'history')
      return
    }
    counts.resumed[lost.length === 0 ? 'whole' : 'lost']++
    connection.open(lost.length === 0, id, heartbeatMs)
  }

  // Without an id: events that the reader does not have yet follow, and they move the position.
  #tellGap(connection: Connection, rooms: readonly string[], reason: GapReason): void {
    this.#options.counts.gaps[reason]++
    this.#options.hub.enqueue(connection, encodeControl('stream.gap', { rooms, reason }))
  }
}

// The frames of events, and the rooms of events that no frame can hold.
function encodeAll(events: readonly Event[], envelope: boolean): { frames: Buffer[]; unsendable: string[] } {
  const frames: Buffer[] = []
  const unsendable: string[] = []
  for (const event of events) {
    try {
      frames.push(encodeEvent(event, envelope))
    } catch {
      unsendable.push(event.room)
    }
  }
  return { frames, unsendable }
}
