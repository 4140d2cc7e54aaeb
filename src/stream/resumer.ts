import { type Bus, PAGE_BYTES } from '../bus/bus.js'
import { type Cursor, isAfter } from '../cursor.js'
import type { Event, GapReason } from '../event.js'
import { BusUnavailable, BusUncertain } from '../failures.js'
import { Gate } from '../gate.js'
import { endOfTurn } from '../http/turn.js'
import type { Log } from '../log.js'
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

// What a connection is sent at a time, and what it may hold of live events while that is read, as a part of its queue limit.
const PAGE_SHARE = 1 / 4
// Pages that one turn of the event loop reads for readers who were sent some already. A page is about 1 ms of work.
const PAGES_PER_TURN = 8

/**
 * Opens streams: says what they may have missed, sends it from the bus's history at their pace, and lets them go live without
 * a hole or a duplicate. A connection is with it
 *
 *   waiting     in `#waiting`: the bus cannot be asked now; `retry` asks again
 *   recovering  `connection.recovery` reads pages
 *   not         live, or ended
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
    // An id that no bus ever gave: asks like a position of an unknown epoch, which is never called whole.
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
    // Later, behind the events that the bus hands on in this same step: a recovery that memory ended before them would let them
    // pass, though its reader has a later position already.
    for (const [connection, recovery] of restarted) void this.#recoverLater(connection, recovery)
  }

  /** To be called now and then: settles recoveries that have nothing more to do, and asks again if the bus can be asked. */
  sweep(): void {
    const { hub, bus } = this.#options
    for (const connection of hub.connections) if (connection.recovery !== null) this.#settle(connection)
    if (this.#waiting.size > 0 && bus.health().status === 'ok') this.retry()
  }

  /** Asks the bus again for those whose question it could not answer. */
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
    // Left here it would be started a second time when the bus is back, and send everything twice.
    this.#waiting.delete(connection)
    return recovery
  }

  // For many at once: a few begin in each turn of the event loop.
  async #recoverLater(connection: Connection, recovery: Recovery): Promise<void> {
    await this.#pages.run(endOfTurn)
    await this.#recover(connection, recovery)
  }

  // Sends pages until the connection is live. Another recovery in its place, or the end of the connection, stops it. While it
  // waits for its reader it must hold no page: thousands may wait, each for as long as it likes.
  async #recover(connection: Connection, recovery: Recovery): Promise<void> {
    const isCurrent = () => connection.recovery === recovery && !connection.isEnded
    while (isCurrent() && recovery.isReading) {
      if (!(await this.#sendPage(connection, recovery, isCurrent))) return
      // A long backlog goes out at the reader's pace. The last page must not wait: live events may follow it at once.
      if (recovery.isReading) await this.#nextTurn(connection, recovery)
    }
    if (isCurrent()) this.#settle(connection)
  }

  // Reads one page and sends it; `false` when somebody else takes over from here.
  async #sendPage(connection: Connection, recovery: Recovery, isCurrent: () => boolean): Promise<boolean> {
    const { bus } = this.#options
    if (bus.position === null) {
      // This replica's first position is where its live events begin: a page read before might end short of that.
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

  // `end` is the reader's position behind this, where this is all; only when nothing is sent may `stream.open` carry it.
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

  // Without an id: the position is moved by what follows, which the reader does not have yet.
  #tellGap(connection: Connection, rooms: readonly string[], reason: GapReason): void {
    this.#options.counts.gaps[reason]++
    this.#options.hub.enqueue(connection, encodeControl('stream.gap', { rooms, reason }))
  }
}

// The frames of events, and the rooms of those that no frame can hold.
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
