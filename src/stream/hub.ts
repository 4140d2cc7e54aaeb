import type { Event } from '../event.js'
import { EVERYONE } from '../room.js'
import type { Connection } from './connection.js'
import { encodeEvent } from './frame.js'
import { FrameChain } from './frame-chain.js'

/** What the hub counted since it was made. */
export interface HubCounts {
  /** Frames handed to connections. */
  delivered: number
  /** Bytes written to connections. */
  bytes: number
  /** Ephemeral events that a backed-up reader did not get. */
  skipped: number
}

// A connection with more than this pending is written to at once, so that one tick alone cannot pass its queue limit.
const EAGER_WRITE_BYTES = 65_536
// So many writes take a few milliseconds at most, and one look at the clock costs nothing beside them.
const WRITES_A_LOOK = 256

/**
 * The local connection map: room -> connections on this replica. Collects the frames that a tick brings for each connection and
 * writes them once. Plain data: knows no bus, no HTTP and no timers.
 */
export class Hub {
  readonly counts: HubCounts = { delivered: 0, bytes: 0, skipped: 0 }
  readonly #rooms = new Map<string, Set<Connection>>()
  readonly #connections = new Set<Connection>()
  readonly #onFull: (connection: Connection) => void
  #pending: Connection[] = []
  // First nodes of this tick, by frame: connections without a pending frame start here.
  #first: FrameChain | null = null
  #firstFrame: Buffer | null = null

  /** `onFull` gets each connection whose queue would pass its limit, and closes it. */
  constructor(onFull: (connection: Connection) => void) {
    this.#onFull = onFull
  }

  /** Every connection on this replica. */
  get connections(): ReadonlySet<Connection> {
    return this.#connections
  }

  /** Connections in this room; `undefined` when there is none. */
  followers(room: string): ReadonlySet<Connection> | undefined {
    return room === EVERYONE ? this.#connections : this.#rooms.get(room)
  }

  /** Connections that follow any of these rooms, and which of them each follows. */
  followersOf(rooms: readonly string[]): Map<Connection, string[]> {
    const all = new Map<Connection, string[]>()
    for (const room of rooms) {
      for (const connection of this.followers(room) ?? []) {
        const followed = all.get(connection)
        if (followed === undefined) all.set(connection, [room])
        else followed.push(room)
      }
    }
    return all
  }

  /** Every room that a connection of this replica follows. */
  *followedRooms(): Iterable<string> {
    if (this.#connections.size > 0) yield EVERYONE
    yield* this.#rooms.keys()
  }

  /** How many rooms connections of this replica follow. */
  get roomCount(): number {
    return this.#rooms.size + (this.#connections.size > 0 ? 1 : 0)
  }

  /** Makes events of the connection's rooms reach it from now on. */
  add(connection: Connection): void {
    this.#connections.add(connection)
    for (const room of connection.rooms) {
      // Everyone follows `*`: the set of all connections serves it.
      if (room === EVERYONE) continue
      const followers = this.#rooms.get(room)
      if (followers === undefined) this.#rooms.set(room, new Set([connection]))
      else followers.add(connection)
    }
  }

  /** Forgets the connection. Idempotent. */
  remove(connection: Connection): void {
    if (!this.#connections.delete(connection)) return
    for (const room of connection.rooms) {
      const followers = this.#rooms.get(room)
      if (followers === undefined) continue
      followers.delete(connection)
      if (followers.size === 0) this.#rooms.delete(room)
    }
  }

  /**
   * Enqueues the event for the connections of its room; `flush` writes it. Encodes at most once per form.
   * Cost: one step a follower.
   */
  deliver(event: Event): void {
    const followers = this.followers(event.room)
    if (followers === undefined) return
    let plain: Buffer | null = null
    let envelope: Buffer | null = null
    for (const connection of followers) {
      // A first visit that still waits for its `stream.open` begins behind this event.
      if (connection.recovery === null ? !connection.isOpen : !this.#passes(connection, event)) continue
      if (event.ephemeral && connection.isBackedUp) {
        this.counts.skipped++
        continue
      }
      if (connection.envelope) envelope ??= encodeEvent(event, true)
      else plain ??= encodeEvent(event, false)
      this.enqueue(connection, connection.envelope ? envelope! : plain!)
    }
  }

  /** Enqueues one frame for one connection. */
  enqueue(connection: Connection, frame: Buffer): void {
    this.counts.delivered++
    if (connection.pending === null) {
      if (this.#first === null || this.#firstFrame !== frame) {
        this.#first = new FrameChain(null, frame)
        this.#firstFrame = frame
      }
      connection.pending = this.#first
      this.#pending.push(connection)
    } else {
      connection.pending = connection.pending.append(frame)
      if (connection.pending.byteLength > EAGER_WRITE_BYTES) this.#write(connection)
    }
  }

  /** Connections that wait for `flush`. */
  get pendingCount(): number {
    return this.#pending.length
  }

  /**
   * Writes to each connection its pending frames, in one piece. `at` is ms of the monotonic clock, looked at once for all. Breaks
   * off if `isOver`, which is asked now and then, says so; the next flush goes on with the remaining connections.
   */
  flush(at?: number, isOver: () => boolean = () => false): void {
    const pending = this.#pending
    this.#pending = []
    this.#first = null
    this.#firstFrame = null
    for (const [i, connection] of pending.entries()) {
      this.#write(connection, at)
      const isLook = (i + 1) % WRITES_A_LOOK === 0 && i + 1 < pending.length
      if (isLook && isOver()) {
        this.#pending = pending.slice(i + 1).concat(this.#pending)
        return
      }
    }
  }

  /** Writes to one connection its pending frames, before something that must follow it. */
  flushOne(connection: Connection): void {
    this.#write(connection)
  }

  #write(connection: Connection, at?: number): void {
    const { pending } = connection
    if (pending === null) return
    connection.pending = null
    const result = connection.write(pending.bytes, at)
    if (result === 'sent') this.counts.bytes += pending.byteLength
    else if (result === 'full') this.#onFull(connection)
  }

  #passes(connection: Connection, event: Event): boolean {
    if (!connection.recovery!.hold(event)) return false
    connection.goLive()
    return true
  }
}
