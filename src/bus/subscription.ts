import type { Cursor } from '../cursor.js'
import type { Event, GapReason } from '../event.js'
import { heapShare } from '../heap.js'
import type { Subscriber } from './bus.js'
import { copyOf, type EventsMessage, readEvents, readMessage } from './message.js'
import type { Moved, RedisReader } from './redis-reader.js'
import { sortBySeq } from './replay.js'

// Bytes of live messages that are held while a hole is closed. Past this limit they are dropped, and their events are read from history.
const HELD_LIMIT_BYTES = Math.min(32 * 1_048_576, heapShare(1 / 8))
// Characters of backlog that one catch-up reads at most, because all of them are in the heap at once. Rooms beyond it get a gap.
const CATCH_UP_LIMIT = Math.min(64 * 1_048_576, heapShare(1 / 8))
const ROOMS_PER_READ = 100
// Redis serves other clients between two pages.
const PAGE_BYTES = 1_048_576

const NOT_UNDERSTOOD = 'a message on the channel of events was not understood'

/** Options of a `Subscription`. */
export interface SubscriptionOptions {
  readonly reader: RedisReader
  readonly subscriber: Subscriber
  /** Called with events that follow the position without a hole, before the subscriber gets them. */
  readonly onContiguous: (events: readonly Event[]) => void
  /** Called when events were read from history instead: the events in memory have a hole before this position. */
  readonly onJump: (position: Cursor) => void
  /** Called when a catch-up failed (`resync` tries again), and when a message could not be taken. */
  readonly onTrouble: (error: unknown, what: string) => void
}

/** The outcome of a catch-up. */
interface Backlog {
  readonly events: Event[]
  /** Rooms that may have lost something. */
  readonly lost: Set<string>
  characters: number
}

/**
 * Turns messages of the channel into events in bus order without a silent hole.
 *
 *   detached     not subscribed, or the last catch-up failed: messages are ignored
 *   catching up  live messages are held, histories of followed rooms are read; `position` stands still
 *   live         every message must follow `position`; one that jumps starts a catch-up
 */
export class Subscription {
  readonly #options: SubscriptionOptions
  #state: 'detached' | 'catching up' | 'live' = 'detached'
  #position: Cursor | null = null
  #held: EventsMessage[] = []
  #heldBytes = 0
  #hasDropped = false
  // The generation of catch-ups: it rises with each reason to start over, so that an overtaken catch-up stops.
  #round = 0
  // Lives of the bus from which this replica may have delivered events.
  readonly #lives = new Set<string>()
  /** Catch-ups so far, whether a hole or a reconnect asked for them. */
  catchUps = 0

  constructor(options: SubscriptionOptions) {
    this.#options = options
  }

  /** As `Bus.position`. */
  get position(): Cursor | null {
    return this.#position
  }

  /** True while events flow as they are published. */
  get isLive(): boolean {
    return this.#state === 'live'
  }

  /** True while a hole is being closed. */
  get isCatchingUp(): boolean {
    return this.#state === 'catching up'
  }

  /**
   * Takes a message from the channel; the Buffer is not kept. Returns a beacon's mark, for its sender. Never throws: bytes that are no
   * message are left out, and if the events of a message cannot be handed on, their readers get a gap.
   */
  take(bytes: Buffer): string | null {
    try {
      return this.#take(bytes)
    } catch (error) {
      this.#startOver(error)
      return null
    }
  }

  #take(bytes: Buffer): string | null {
    const message = readMessage(bytes)
    if (message === null) {
      this.#options.onTrouble(new Error(`${bytes.length} bytes that are no message`), NOT_UNDERSTOOD)
      return null
    }
    if (message.kind === 'beacon') {
      if (this.#state === 'live' && this.#isBehind(message.epoch, message.seq)) this.resync()
      return message.mark
    }
    if (this.#state === 'live') this.#follow(message)
    else if (this.#state === 'catching up') this.#hold(message)
    return null
  }

  /**
   * To be called when the channel was subscribed anew, or messages may have been missed. Reads the missing events from history, and closes
   * the hole.
   */
  resync(): void {
    this.#round++
    this.#state = 'catching up'
    this.#forgetHeld()
    void this.#catchUp(this.#round)
  }

  /** To be called when the channel is gone: messages are ignored until `resync`. */
  detach(): void {
    this.#round++
    this.#state = 'detached'
    this.#forgetHeld()
  }

  // Nobody can tell which of these events reached their readers.
  #startOver(error: unknown): void {
    this.#options.onTrouble(error, 'events could not be handed on')
    this.#options.subscriber.onGap(null, 'history')
    this.resync()
  }

  #isBehind(epoch: string, seq: number): boolean {
    return this.#position === null || epoch !== this.#position.epoch || seq > this.#position.seq
  }

  #follow(message: EventsMessage): void {
    const { epoch, seq, count } = message
    const position = this.#position!
    if (epoch === position.epoch) {
      // A channel may repeat a message, a stream must not repeat an event.
      if (seq + count - 1 <= position.seq) return
      if (seq === position.seq + 1) {
        const events = readEvents(message)
        // The position stays: if the counter did number these events, the next message shows a hole.
        if (events === null) {
          this.#options.onTrouble(new Error(`${count} events were said to follow, and do not`), NOT_UNDERSTOOD)
          return
        }
        this.#position = { epoch, seq: seq + count - 1 }
        this.#options.onContiguous(events)
        this.#options.subscriber.onEvents(events)
        return
      }
    }
    // The message is not held. The counter is asked after the message came, so it counts the message in, and history has the events.
    // Otherwise the message comes from a counter that ended, and holding it would start one catch-up after the other.
    this.resync()
  }

  #hold(message: EventsMessage): void {
    this.#heldBytes += message.body.length
    if (this.#heldBytes <= HELD_LIMIT_BYTES) {
      this.#held.push(copyOf(message))
      return
    }
    this.#held = []
    this.#hasDropped = true
  }

  #forgetHeld(): void {
    this.#held = []
    this.#heldBytes = 0
    this.#hasDropped = false
  }

  async #catchUp(round: number): Promise<void> {
    const { reader, subscriber } = this.#options
    const isCurrent = () => this.#round === round
    try {
      const from = this.#position
      const moved = await reader.moved(from)
      // If Redis does not know our position, we cannot tell how much of its history we delivered. Only a life that we never saw is
      // certainly undelivered.
      const isReadable = from !== null && (moved.kind !== 'unknown' || !this.#lives.has(moved.life))
      const backlog: Backlog = { events: [], lost: new Set(), characters: 0 }
      if (isReadable) {
        const done = new Set<string>()
        // The last look at the followed rooms and the new position are one step. A reader that joined between them would get the old
        // position, and nobody would read the hole for it.
        for (let rooms = this.#toRead(moved, done); rooms.length > 0; rooms = this.#toRead(moved, done)) {
          await this.#readRooms(rooms, moved, backlog)
          if (!isCurrent()) return
        }
      }
      if (!isCurrent()) return
      if (from !== null) this.catchUps++
      this.#lives.add(moved.life)
      sortBySeq(backlog.events)
      this.#position = moved.position
      this.#options.onJump(moved.position)
      // The gap comes first: the id of an event vouches for everything before it, and a reader may break off at any event.
      const gap = from === null ? null : gapOf(moved)
      if (gap !== null) subscriber.onGap(null, gap)
      else if (backlog.lost.size > 0) subscriber.onGap([...backlog.lost], 'history')
      if (backlog.events.length > 0) subscriber.onEvents(backlog.events)
    } catch (error) {
      if (!isCurrent()) return
      this.#state = 'detached'
      this.#forgetHeld()
      this.#options.onTrouble(error, 'catching up failed')
      return
    }
    try {
      this.#goLive()
    } catch (error) {
      this.#startOver(error)
    }
  }

  // Followed rooms that moved and are not done yet, some at a time. A room that is followed only since this began is read as well: its
  // reader got the old position.
  #toRead(moved: Moved, done: Set<string>): string[] {
    const rooms: string[] = []
    for (const room of this.#options.subscriber.followedRooms()) {
      if (done.has(room) || (!moved.rooms.has(room) && moved.from.seq >= moved.forgotten)) continue
      rooms.push(room)
      done.add(room)
      if (rooms.length === ROOMS_PER_READ) break
    }
    return rooms
  }

  async #readRooms(rooms: readonly string[], moved: Moved, backlog: Backlog): Promise<void> {
    if (backlog.characters > CATCH_UP_LIMIT) {
      for (const room of rooms) backlog.lost.add(room)
      return
    }
    let after = moved.from
    for (;;) {
      const page = await this.#options.reader.replay(after, rooms, moved.position, PAGE_BYTES)
      if (page.upTo.epoch !== moved.position.epoch) throw new Error('the epoch changed while histories were read')
      for (const room of page.lost) backlog.lost.add(room)
      for (const event of page.events) {
        backlog.characters += event.data.length
        backlog.events.push(event)
      }
      after = page.upTo
      if (!page.hasMore) return
    }
  }

  // A held message follows the new position, lies before it, or shows another hole.
  #goLive(): void {
    const held = this.#held
    const hasDropped = this.#hasDropped
    this.#forgetHeld()
    this.#state = 'live'
    for (const message of held) {
      this.#follow(message)
      if (this.#state !== 'live') return
    }
    if (hasDropped) this.resync()
    else this.#options.subscriber.onReady()
  }
}

function gapOf({ kind }: Moved): GapReason | null {
  if (kind === 'same') return null
  return kind === 'lineage' ? 'failover' : 'reset'
}
