import { randomUUID } from 'node:crypto'
import type { Writable } from 'node:stream'
import type { Bus, BusCounts, BusHealth, GapReason, Replay } from './bus/bus.js'
import { type CloseReason, Connection, encodeClose } from './connection.js'
import { type Cursor, formatCursor, isAfter } from './cursor.js'
import { BusUnavailable } from './errors.js'
import { type Draft, EVERYONE, type Event, type Published } from './event.js'
import { encodeControl, encodeEvent, encodeHeartbeat } from './frame.js'
import { Hub, type HubCounts } from './hub.js'
import { createPublisher, type Publisher } from './publisher.js'
import { Recovery } from './recovery.js'

/** The part of a logger that the gateway uses; pino's. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Limits and surroundings of a gateway. */
export interface GatewayOptions {
  readonly bus: Bus
  readonly log: Log
  /** A stream that was silent this long gets a heartbeat, in ms. */
  readonly heartbeatMs: number
  /** A stream ends with `max-age` after this long, give or take 20 %, in ms; 0 for never. */
  readonly connectionMaxAgeMs: number
  readonly maxConnections: number
  readonly maxConnectionsPerUser: number
  readonly maxEventBytes: number
  readonly queueLimitBytes: number
}

/** Who wants a stream, and what for. */
export interface AttachRequest {
  readonly userId: string
  /** Rooms asked for; the user's own and `*` are added. Checked before. */
  readonly rooms: readonly string[]
  readonly envelope: boolean
  /** Last position seen; `null` on a first visit; `'unknown'` for an id that is no cursor. */
  readonly after: Cursor | 'unknown' | null
  /** Takes the bytes; response headers were sent. */
  readonly sink: Writable
  /** Chosen by the caller where something must know it before; made up when left out. */
  readonly id?: string
  /** When the viewer's credential ends, in ms since 1970; never when left out. */
  readonly expiresAt?: number | null
  /** When it was made, in ms since 1970; left out when that cannot be told. */
  readonly issuedAt?: number | null
}

/** What the gateway counted since it started. */
export interface GatewayCounts extends HubCounts {
  opened: number
  /** Ended connections by reason. */
  closed: Record<CloseReason | 'gone', number>
  /** Opened streams by what they were told: a first visit, everything missed follows, something may be lost. */
  resumed: { first: number; whole: number; lost: number }
  /** Events published here; repeated keys are not. */
  published: number
  /** Events that came from the bus, followed here or not. */
  received: number
  /** `stream.gap` events by reason. */
  gaps: Record<GapReason, number>
}

const SWEEP_INTERVAL_MS = 1_000
const STUCK_GRACE_MS = 5_000
const EXPIRING_MS = 60_000
const RECOVERY_STALL_MS = 30_000
const DRAIN_STEP_MS = 50
// The field names, the position and what else a frame has around type and data.
const FRAME_OVERHEAD_BYTES = 100
const RETRY_MIN_MS = 500
const RETRY_SPREAD_MS = 4_500

/**
 * THE CENTRE: joins bus and hub. Events go publisher -> bus -> `#onEvents` -> hub -> connections, for local and remote
 * publishers alike. A stream goes `attach` -> (recovery from the bus) -> live, until its reader leaves or a reason ends it.
 *
 *   serving   `attach` opens streams
 *   draining  streams end, spread over a window; new ones are told `shutdown` at once
 *   closed    no stream, no bus
 */
export class Gateway implements Publisher {
  readonly emit: Publisher['emit']
  readonly broadcast: Publisher['broadcast']
  readonly publish: Publisher['publish']
  readonly publishMany: Publisher['publishMany']
  readonly #options: GatewayOptions
  readonly #bus: Bus
  readonly #hub: Hub
  readonly #counts = {
    opened: 0,
    closed: { gone: 0, slow: 0, shutdown: 0, expired: 0, revoked: 0, replaced: 0, 'max-age': 0, overloaded: 0 },
    resumed: { first: 0, whole: 0, lost: 0 },
    published: 0,
    received: 0,
    gaps: { history: 0, reset: 0, failover: 0 },
  }
  /** Ended, but their last bytes are still on the way. */
  readonly #ending = new Set<Connection>()
  /** Wait for the bus before they can open or read on. */
  readonly #waiting = new Set<Connection>()
  /** When each connection is to end for its age, in ms of the monotonic clock. */
  readonly #deadlines = new WeakMap<Connection, number>()
  #sweepTimer: NodeJS.Timeout | null = null
  #flushScheduled = false
  #isLeaving = false
  #state: 'serving' | 'draining' | 'closed' = 'serving'

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#bus = options.bus
    this.#hub = new Hub(connection => this.disconnect(connection, 'slow'))
    const publisher = createPublisher(drafts => this.publishDrafts(drafts), options.maxEventBytes)
    this.emit = publisher.emit
    this.broadcast = publisher.broadcast
    this.publish = publisher.publish
    this.publishMany = publisher.publishMany
  }

  /** Starts to deliver; the bus connects in the background. */
  async start(): Promise<void> {
    this.#sweepTimer = setInterval(() => this.#sweep(), Math.min(SWEEP_INTERVAL_MS, this.#options.heartbeatMs)).unref()
    await this.#bus.connect({
      onEvents: events => this.#onEvents(events),
      onGap: (rooms, reason) => this.#onGap(rooms, reason),
      onReady: () => this.#onReady(),
      followedRooms: () => this.#hub.followedRooms(),
      isFollowed: room => this.#hub.followers(room) !== undefined,
    })
  }

  /** Publishes checked drafts as one atomic step. Errors as in `Bus.publish`. */
  async publishDrafts(drafts: readonly Draft[]): Promise<Published[]> {
    if (drafts.length === 0) return []
    const published = await this.#bus.publish(drafts)
    for (const { duplicate } of published) if (!duplicate) this.#counts.published++
    return published
  }

  /** Open streams on this replica. */
  get connections(): ReadonlySet<Connection> {
    return this.#hub.connections
  }

  /** Rooms that somebody here follows. Cost: one step a room. */
  get roomCount(): number {
    let count = 0
    for (const _ of this.#hub.followedRooms()) count++
    return count
  }

  /** What the bus counted so far. */
  get busCounts(): BusCounts {
    return this.#bus.counts
  }

  /** What was counted so far. */
  get counts(): GatewayCounts {
    return { ...this.#hub.counts, ...this.#counts }
  }

  /** How the bus is. */
  get busHealth(): BusHealth {
    return this.#bus.health()
  }

  /** True until a shutdown is announced: then balancers should send new streams elsewhere. */
  get isReady(): boolean {
    return this.#state === 'serving' && !this.#isLeaving
  }

  /** Makes `isReady` false while everything is still served. */
  announceShutdown(): void {
    this.#isLeaving = true
  }

  /**
   * Opens a stream on `sink`: `stream.open`, what was missed, then live events, without hole or duplicate between them.
   * Above a limit the stream is told `overloaded` and ends: EventSource would never come back from an error status.
   */
  attach(request: AttachRequest): Connection {
    const { userId, envelope, sink, after, expiresAt = null, issuedAt = null, id = randomUUID() } = request
    const rooms = [...new Set([`user:${userId}`, EVERYONE, ...request.rooms])]
    const { queueLimitBytes } = this.#options
    const made = { id, userId, rooms, envelope, sink, queueLimitBytes, expiresAt, issuedAt, now }
    const connection = new Connection(made)
    // Left while it was checked: its 'close' will not come any more, so nothing may hold it.
    if (sink.destroyed) {
      connection.markClosed()
      return connection
    }
    sink.once('close', () => this.#detach(connection))
    const refusal = this.#refusal(userId)
    if (refusal !== null) {
      this.disconnect(connection, refusal)
      return connection
    }
    this.#counts.opened++
    this.#deadlines.set(connection, connection.openedAt + jittered(this.#options.connectionMaxAgeMs))
    this.#hub.add(connection)
    if (after === null) this.#openFirst(connection)
    else this.#resume(connection, after)
    this.#options.log.info({ userId, connectionId: connection.id, rooms: rooms.length }, 'connection opened')
    return connection
  }

  /**
   * Tells the reader on `sink` why it gets no stream, and ends it: in the stream itself, because EventSource never comes back
   * from an error status.
   */
  refuse(sink: Writable, reason: CloseReason, retryMs = retryDelayMs()): void {
    sink.end(encodeClose(reason, retryMs))
    this.#counts.closed[reason]++
  }

  /** Open streams of one user on this replica. */
  connectionsOf(userId: string): Connection[] {
    // Others may follow a user's room too.
    return [...(this.#hub.followers(`user:${userId}`) ?? [])].filter(connection => connection.userId === userId)
  }

  /** Ends a stream, and tells its reader why and when to come back. Idempotent. */
  disconnect(connection: Connection, reason: CloseReason, retryMs = retryDelayMs()): void {
    if (connection.isEnded) return
    this.#hub.flushOne(connection)
    // Writing what was owed may have found the reader too slow, which ended it.
    if (connection.isEnded) return
    connection.close(reason, retryMs)
    this.#hub.remove(connection)
    this.#waiting.delete(connection)
    this.#ending.add(connection)
  }

  /**
   * Ends every stream with `shutdown`, spread over `windowMs`, each told to come back after a jittered delay.
   * Resolves when all were told. New streams are told at once.
   */
  async drain(windowMs: number): Promise<void> {
    if (this.#state === 'serving') this.#state = 'draining'
    const connections = [...this.#hub.connections]
    const steps = Math.max(1, Math.floor(windowMs / DRAIN_STEP_MS))
    const startedAt = now()
    for (let step = 0, from = 0; from < connections.length; step++) {
      const to = Math.ceil(((step + 1) * connections.length) / steps)
      for (const connection of connections.slice(from, to)) this.disconnect(connection, 'shutdown')
      from = to
      await until(startedAt + (step + 1) * DRAIN_STEP_MS)
    }
    for (const connection of [...this.#hub.connections]) this.disconnect(connection, 'shutdown')
  }

  /** Ends all streams now, cuts those that do not take their last bytes within `graceMs`, closes the bus. Idempotent. */
  async close(graceMs = 500): Promise<void> {
    if (this.#state === 'closed') return
    await this.drain(0)
    this.#state = 'closed'
    const deadline = now() + graceMs
    while (this.#ending.size > 0 && now() < deadline) await until(now() + 10)
    for (const connection of this.#ending) connection.destroy()
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer)
    await this.#bus.close()
  }

  #refusal(userId: string): CloseReason | null {
    if (this.#state !== 'serving') return 'shutdown'
    const { maxConnections, maxConnectionsPerUser } = this.#options
    const isOver =
      this.#hub.connections.size >= maxConnections || this.connectionsOf(userId).length >= maxConnectionsPerUser
    return isOver ? 'overloaded' : null
  }

  #detach(connection: Connection): void {
    this.#hub.remove(connection)
    this.#ending.delete(connection)
    this.#waiting.delete(connection)
    connection.markClosed()
    this.#counts.closed[connection.endReason]++
    const { userId, id, endReason } = connection
    this.#options.log.info({ userId, connectionId: id, reason: endReason }, 'connection closed')
  }

  #openFirst(connection: Connection): void {
    const { position } = this.#bus
    if (position === null) this.#waiting.add(connection)
    else {
      this.#counts.resumed.first++
      connection.open(null, position, this.#options.heartbeatMs)
    }
  }

  #resume(connection: Connection, after: Cursor | 'unknown'): void {
    // An id that no bus ever gave: asks like a position of an unknown epoch, which is never called whole.
    this.#startRecovery(connection, after === 'unknown' ? { epoch: '', seq: 0 } : after)
  }

  #startRecovery(connection: Connection, after: Cursor): void {
    void this.#recover(connection, this.#putInRecovery(connection, after))
  }

  #putInRecovery(connection: Connection, after: Cursor): Recovery {
    const recovery = new Recovery(after, this.#options.queueLimitBytes / 2)
    connection.recovery = recovery
    // Left here it would be started a second time when the bus is back, and send everything twice.
    this.#waiting.delete(connection)
    return recovery
  }

  // Reads pages until the connection is live. Another recovery in its place, or the end of the connection, stops it.
  async #recover(connection: Connection, recovery: Recovery): Promise<void> {
    const isCurrent = () => connection.recovery === recovery && !connection.isEnded
    while (isCurrent() && recovery.isReading) {
      let page: Replay
      try {
        const answer = this.#bus.replay(recovery.after, connection.rooms)
        page = answer instanceof Promise ? await answer : answer
      } catch (error) {
        if (!(error instanceof BusUnavailable)) {
          this.#options.log.error({ err: error, connectionId: connection.id }, 'reading history failed')
        }
        if (isCurrent()) this.#waiting.add(connection)
        return
      }
      if (!isCurrent()) return
      const step = recovery.take(firstSlice(page, this.#options.queueLimitBytes / 4), this.#bus.position)
      const { frames, unsendable } = encodeAll(step.events, connection.envelope)
      if (unsendable.length > 0)
        this.#options.log.error({ rooms: unsendable }, 'history holds events that cannot be sent')
      const lost = [...new Set([...step.lost, ...unsendable])]
      this.#announce(connection, lost, step.isLive && frames.length === 0 ? recovery.after : null)
      for (const frame of frames) this.#hub.owe(connection, frame)
      this.#hub.flushOne(connection)
      // The hub keeps a list of whom it owed in this tick; without a flush it would keep the connection.
      this.#scheduleFlush()
      // A long backlog goes out at the reader's pace. The last slice must not wait: live events may follow it at once.
      if (!step.isLive) await connection.drained()
    }
    if (isCurrent()) this.#endRecovery(connection)
  }

  #announce(connection: Connection, lost: readonly string[], id: Cursor | null): void {
    if (connection.isOpen) {
      if (lost.length > 0) this.#oweGap(connection, lost, 'history')
      return
    }
    this.#counts.resumed[lost.length === 0 ? 'whole' : 'lost']++
    connection.open(lost.length === 0, id, this.#options.heartbeatMs)
  }

  // The recovery may only go when this replica's live events are past what was read: it drops them until then.
  #endRecovery(connection: Connection): void {
    const { recovery } = connection
    const { position } = this.#bus
    if (recovery === null || recovery.isReading || position === null) return
    if (position.epoch === recovery.after.epoch && !isAfter(recovery.after, position)) connection.recovery = null
  }

  #onEvents(events: readonly Event[]): void {
    this.#counts.received += events.length
    for (const event of events) {
      try {
        this.#hub.deliver(event)
      } catch {
        // Not by way of any door of ours. The error may quote data, which belongs in no log.
        this.#options.log.error({ room: event.room, id: formatCursor(event.cursor) }, 'an event cannot be sent')
        this.#onGap([event.room], 'history')
      }
    }
    this.#scheduleFlush()
  }

  #onGap(rooms: readonly string[] | null, reason: GapReason): void {
    const affected =
      rooms === null ? new Map([...this.#hub.connections].map(c => [c, c.rooms])) : this.#followersOf(rooms)
    const restarted: [Connection, Recovery][] = []
    for (const [connection, lost] of affected) {
      // A recovery under way may have read before the loss: it reads again, and finds what is lost by itself.
      if (connection.recovery !== null)
        restarted.push([connection, this.#putInRecovery(connection, connection.recovery.after)])
      else if (connection.isOpen) this.#oweGap(connection, lost, reason)
    }
    // Behind the events that the bus hands on in this same step: a recovery that memory ended before them would let them pass,
    // though its reader has a later position already.
    queueMicrotask(() => {
      for (const [connection, recovery] of restarted) void this.#recover(connection, recovery)
    })
    this.#options.log.warn({ reason, rooms: rooms?.length ?? 'all', connections: affected.size }, 'events were lost')
    this.#scheduleFlush()
  }

  #followersOf(rooms: readonly string[]): Map<Connection, string[]> {
    const affected = new Map<Connection, string[]>()
    for (const room of rooms) {
      for (const connection of this.#hub.followers(room) ?? []) {
        const lost = affected.get(connection)
        if (lost === undefined) affected.set(connection, [room])
        else lost.push(room)
      }
    }
    return affected
  }

  // Without an id: the position is moved by what follows, which the reader does not have yet.
  #oweGap(connection: Connection, rooms: readonly string[], reason: GapReason): void {
    this.#counts.gaps[reason]++
    this.#hub.owe(connection, encodeControl('stream.gap', { rooms, reason }))
  }

  #onReady(): void {
    for (const connection of [...this.#waiting]) {
      this.#waiting.delete(connection)
      if (connection.recovery === null) this.#openFirst(connection)
      else void this.#recover(connection, connection.recovery)
    }
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || !this.#hub.isOwing) return
    this.#flushScheduled = true
    // Behind everything that this turn of the loop reads: what arrives together leaves in one write a connection.
    setImmediate(() => {
      this.#flushScheduled = false
      this.#hub.flush()
    })
  }

  // The only timer: heartbeats, ages, stuck readers and second tries of all connections.
  #sweep(): void {
    const time = now()
    const { position } = this.#bus
    const heartbeat = position === null ? null : encodeHeartbeat(position)
    const silentSince = time - this.#options.heartbeatMs
    // The wall clock, looked at anew each time: it may be set, and a credential's end means what it says then.
    const wallTime = Date.now()
    for (const connection of this.#hub.connections) {
      if (connection.recovery !== null) this.#endRecovery(connection)
      if (connection.expiresAt !== null && this.#expire(connection, connection.expiresAt - wallTime)) continue
      if (time >= this.#deadlines.get(connection)!) this.disconnect(connection, 'max-age')
      else if (
        connection.recovery !== null &&
        connection.isBackedUp &&
        connection.lastWriteAt < time - RECOVERY_STALL_MS
      ) {
        this.disconnect(connection, 'slow')
      } else if (connection.lastWriteAt <= silentSince && connection.owed === null && !connection.isBackedUp) {
        if (connection.isOpen && connection.recovery === null && heartbeat !== null) connection.write(heartbeat)
        else connection.writeComment()
      }
    }
    for (const connection of this.#ending) connection.destroyIfStuck(STUCK_GRACE_MS)
    if (this.#waiting.size > 0 && this.#bus.health().status === 'ok') this.#onReady()
  }

  // A minute before the end the reader is told once, so that it can come with a new credential.
  #expire(connection: Connection, leftMs: number): boolean {
    if (leftMs <= 0) {
      this.disconnect(connection, 'expired')
      return true
    }
    if (leftMs <= EXPIRING_MS && connection.isOpen && !connection.wasToldOfExpiry) {
      connection.wasToldOfExpiry = true
      const { expiresAt } = connection
      this.#hub.owe(connection, encodeControl('stream.expiring', { expiresAt, inMs: leftMs }))
      this.#hub.flushOne(connection)
    }
    return false
  }
}

// A page cut where `bytes` are reached; the rest is read again.
function firstSlice(page: Replay, bytes: number): Replay {
  let size = 0
  for (const [i, event] of page.events.entries()) {
    size += event.data.length + event.type.length + event.room.length + FRAME_OVERHEAD_BYTES
    if (size > bytes && i < page.events.length - 1) {
      return { events: page.events.slice(0, i + 1), lost: page.lost, upTo: event.cursor, hasMore: true }
    }
  }
  return page
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

const now = (): number => performance.now()

function jittered(ageMs: number): number {
  return ageMs === 0 ? Number.POSITIVE_INFINITY : ageMs * (0.8 + Math.random() * 0.4)
}

/** When a reader should come back: spread, so that a closed replica's readers do not come back in one moment. */
export function retryDelayMs(): number {
  return RETRY_MIN_MS + Math.random() * RETRY_SPREAD_MS
}

function until(time: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, Math.max(0, time - now())))
}
