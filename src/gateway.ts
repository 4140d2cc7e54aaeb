import { randomUUID } from 'node:crypto'
import type { Writable } from 'node:stream'
import type { Bus, BusCounts, BusHealth } from './bus/bus.js'
import { type Clock, ProcessClock } from './clock.js'
import { type Cursor, formatCursor } from './cursor.js'
import type { Draft } from './draft.js'
import type { Event, GapReason, Published } from './event.js'
import type { Log } from './log.js'
import { createPublisher, type Publisher } from './publisher.js'
import { EVERYONE, roomOf } from './room.js'
import { type CloseReason, retryDelayMs } from './stream/close-reason.js'
import { Connection } from './stream/connection.js'
import { createCounts, type GatewayCounts } from './stream/counts.js'
import { spread, untilEmpty } from './stream/drain.js'
import { Flusher } from './stream/flusher.js'
import { encodeClose } from './stream/frame.js'
import { Hub } from './stream/hub.js'
import { Resumer } from './stream/resumer.js'
import { cutStuck, lifetimeMs, sweepConnections } from './stream/sweep.js'

/** Limits and surroundings of a gateway. */
export interface GatewayOptions {
  readonly bus: Bus
  readonly log: Log
  /** For ends of credentials; the process' own when left out. */
  readonly clock?: Clock
  /** A stream that was silent this long gets a heartbeat, in ms. */
  readonly heartbeatMs: number
  /** A stream ends with `max-age` after this long, give or take 20 %, in ms; 0 for never. */
  readonly connectionMaxAgeMs: number
  readonly maxConnections: number
  readonly maxConnectionsPerUser: number
  readonly maxEventBytes: number
  readonly queueLimitBytes: number
}

/** A viewer's wish for a stream. */
export interface AttachRequest {
  readonly userId: string
  /** Rooms asked for, checked before. The user's own room and `*` are added. */
  readonly rooms: readonly string[]
  readonly envelope: boolean
  /** Last position seen; `null` on a first visit; `'unknown'` for an id that is no cursor. */
  readonly after: Cursor | 'unknown' | null
  /** Takes the bytes; response headers were sent. */
  readonly output: Writable
  /** The connection's id, if the caller must know it before; a fresh one when left out. */
  readonly id?: string
  /** When the viewer's credential ends, in ms since 1970; never when left out. */
  readonly expiresAt?: number | null
  /** When the credential was made, in ms since 1970; unknown when left out. */
  readonly issuedAt?: number | null
}

const SWEEP_INTERVAL_MS = 1_000

/**
 * THE CENTRE: joins bus and hub. Events go publisher -> bus -> `#onEvents` -> hub -> connections, for local and remote
 * publishers alike. A stream goes `attach` -> (recovery from the bus) -> live, until its reader leaves or a reason ends it.
 *
 *   serving   `attach` opens streams
 *   draining  streams end, spread over a window; new ones are told `shutdown` at once; publishes are taken
 *   closed    no stream, no bus
 */
export class Gateway implements Publisher {
  readonly emit: Publisher['emit']
  readonly broadcast: Publisher['broadcast']
  readonly publish: Publisher['publish']
  readonly publishMany: Publisher['publishMany']
  readonly #options: GatewayOptions
  readonly #bus: Bus
  readonly #clock: Clock
  readonly #hub: Hub
  readonly #flusher: Flusher
  readonly #resumer: Resumer
  readonly #counts = createCounts()
  /** Ended, but their last bytes are still on the way. */
  readonly #ending = new Set<Connection>()
  #sweepTimer: NodeJS.Timeout | null = null
  #startingReason: string | null = null
  readonly #leaving = new AbortController()
  #state: 'serving' | 'draining' | 'closed' = 'serving'

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#bus = options.bus
    this.#clock = options.clock ?? new ProcessClock()
    this.#hub = new Hub(connection => this.disconnect(connection, 'slow'))
    this.#flusher = new Flusher(this.#hub, now)
    const scheduleFlush = () => this.#flusher.schedule()
    this.#resumer = new Resumer({ ...options, hub: this.#hub, counts: this.#counts, scheduleFlush })
    const publisher = createPublisher(drafts => this.publishDrafts(drafts), options.maxEventBytes)
    this.emit = publisher.emit
    this.broadcast = publisher.broadcast
    this.publish = publisher.publish
    this.publishMany = publisher.publishMany
  }

  /** Starts to deliver what comes from the bus. */
  start(): void {
    this.#sweepTimer = setInterval(() => this.#sweep(), Math.min(SWEEP_INTERVAL_MS, this.#options.heartbeatMs)).unref()
    this.#bus.connect({
      onEvents: events => this.#onEvents(events),
      onGap: (rooms, reason) => this.#onGap(rooms, reason),
      onReady: () => this.#resumer.retry(),
      followedRooms: () => this.#hub.followedRooms(),
    })
  }

  /** Publishes checked drafts as one atomic step. As `Bus.publish`. */
  async publishDrafts(drafts: readonly Draft[], onNewRooms?: (count: number) => void): Promise<Published[]> {
    if (drafts.length === 0) return []
    const published = await this.#bus.publish(drafts, onNewRooms)
    for (const { duplicate } of published) if (!duplicate) this.#counts.published++
    return published
  }

  /** Open streams on this replica. */
  get connections(): ReadonlySet<Connection> {
    return this.#hub.connections
  }

  /** How many rooms connections of this replica follow. */
  get roomCount(): number {
    return this.#hub.roomCount
  }

  /** What the bus counted so far. */
  get busCounts(): BusCounts {
    return this.#bus.counts
  }

  /** What was counted so far. */
  get counts(): GatewayCounts {
    return { ...this.#hub.counts, ...this.#counts }
  }

  /** How the bus is; `starting` also while readiness is held. */
  get busHealth(): BusHealth {
    const health = this.#bus.health()
    const reason = health.status === 'starting' ? null : this.#startingReason
    return reason === null ? health : { ...health, status: 'starting', reason }
  }

  /** Keeps `busHealth` at `starting` for this reason, until it is called with `null`. */
  holdReady(reason: string | null): void {
    this.#startingReason = reason
  }

  /** True until a shutdown is announced: then balancers should send new streams elsewhere. */
  get isReady(): boolean {
    return this.#state === 'serving' && !this.leaving.aborted
  }

  /** Aborts as soon as a shutdown is announced or begins. */
  get leaving(): AbortSignal {
    return this.#leaving.signal
  }

  /** Makes `isReady` false while everything is still served. Idempotent. */
  announceShutdown(): void {
    this.#leaving.abort()
  }

  /**
   * Opens a stream on `output`: `stream.open`, what was missed, then live events, without hole or duplicate between them.
   * Above a limit the stream is told `overloaded` and ends: EventSource would never come back from an error status.
   */
  attach(request: AttachRequest): Connection {
    const { userId, envelope, output, after, expiresAt = null, issuedAt = null, id = randomUUID() } = request
    const rooms = [...new Set([roomOf(userId), EVERYONE, ...request.rooms])]
    const { queueLimitBytes, connectionMaxAgeMs } = this.#options
    const retiresAt = now() + lifetimeMs(connectionMaxAgeMs)
    const made = { id, userId, rooms, envelope, output, queueLimitBytes, expiresAt, issuedAt, retiresAt, now }
    const connection = new Connection(made)
    // The reader left while the request was checked. 'close' came already, so nothing may hold the connection.
    if (output.destroyed) {
      connection.markClosed()
      return connection
    }
    output.once('close', () => this.#detach(connection))
    const refusal = this.#refusal(userId)
    if (refusal !== null) {
      this.disconnect(connection, refusal)
      return connection
    }
    this.#counts.opened++
    this.#hub.add(connection)
    this.#resumer.open(connection, after)
    this.#options.log.info({ userId, connectionId: connection.id, rooms: rooms.length }, 'connection opened')
    return connection
  }

  /**
   * Tells the reader on `output` why it gets no stream, and ends it: in the stream itself, because EventSource never comes back
   * from an error status. `message` says more, for people.
   */
  refuse(output: Writable, reason: CloseReason, retryMs = retryDelayMs(reason), message?: string): void {
    output.end(encodeClose(reason, retryMs, message))
    this.#counts.closed[reason]++
  }

  /** Open streams of one user on this replica. */
  connectionsOf(userId: string): Connection[] {
    // Others may follow a user's room too.
    return [...(this.#hub.followers(roomOf(userId)) ?? [])].filter(connection => connection.userId === userId)
  }

  /** Ends a stream, and tells its reader why and when to come back. Idempotent. */
  disconnect(connection: Connection, reason: CloseReason, retryMs = retryDelayMs(reason)): void {
    if (connection.isEnded) return
    this.#hub.flushOne(connection)
    // Writing the pending frames may have ended it as slow.
    if (connection.isEnded) return
    connection.close(reason, retryMs)
    this.#hub.remove(connection)
    this.#resumer.forget(connection)
    this.#ending.add(connection)
  }

  /**
   * Ends every stream with `shutdown`, spread over `windowMs`, each told to come back after a jittered delay.
   * Resolves when all were told. New streams are told at once.
   */
  async drain(windowMs: number): Promise<void> {
    if (this.#state === 'serving') this.#state = 'draining'
    await spread(this.#hub.connections, windowMs, connection => this.disconnect(connection, 'shutdown'))
  }

  /**
   * Ends all streams now, and cuts those that do not take their last bytes within `graceMs`. Publishes are still taken:
   * requests that are on their way are answered before `close()`. Idempotent.
   */
  async endStreams(graceMs = 500): Promise<void> {
    this.announceShutdown()
    await this.drain(0)
    await untilEmpty(this.#ending, graceMs)
    for (const connection of this.#ending) connection.destroy()
  }

  /** Ends all streams as `endStreams` does, and closes the bus. Idempotent. */
  async close(graceMs = 500): Promise<void> {
    if (this.#state === 'closed') return
    await this.endStreams(graceMs)
    this.#state = 'closed'
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
    this.#resumer.forget(connection)
    connection.markClosed()
    this.#counts.closed[connection.endReason]++
    const { userId, id, endReason } = connection
    this.#options.log.info({ userId, connectionId: id, reason: endReason }, 'connection closed')
  }

  #onEvents(events: readonly Event[]): void {
    this.#counts.received += events.length
    for (const event of events) {
      try {
        this.#hub.deliver(event)
      } catch {
        // None of our doors accepts such an event; another writer put it into Redis. The error may quote data, which belongs in no log.
        this.#options.log.error({ room: event.room, id: formatCursor(event.cursor) }, 'an event cannot be sent')
        this.#onGap([event.room], 'history')
      }
    }
    this.#flusher.schedule()
  }

  #onGap(rooms: readonly string[] | null, reason: GapReason): void {
    const affected =
      rooms === null ? new Map([...this.#hub.connections].map(c => [c, c.rooms])) : this.#hub.followersOf(rooms)
    this.#resumer.tellGaps(affected, reason)
    this.#options.log.warn({ reason, rooms: rooms?.length ?? 'all', connections: affected.size }, 'events were lost')
    this.#flusher.schedule()
  }

  #sweep(): void {
    this.#resumer.sweep()
    const { heartbeatMs } = this.#options
    const disconnect = (connection: Connection, reason: CloseReason) => this.disconnect(connection, reason)
    sweepConnections({ hub: this.#hub, heartbeatMs, disconnect }, now(), this.#clock.now(), this.#bus.position)
    cutStuck(this.#ending)
  }
}

const now = (): number => performance.now()
