import { type Cursor, isAfter } from '../cursor.js'
import type { Event } from '../event.js'

/** The part of a bus's answer that a recovery needs. */
export interface Page {
  readonly events: readonly Event[]
  readonly lost: readonly string[]
  readonly upTo: Cursor
  readonly hasMore: boolean
}

/** What to send after a page was taken in. */
export interface Step {
  /** In bus order, none seen before. */
  readonly events: readonly Event[]
  /** Rooms that may have lost something. */
  readonly lost: readonly string[]
  /** True when live events may follow; false when another page is needed, after `recovery.after`. */
  readonly isLive: boolean
}

// A held event costs this beyond its data, of which a character takes up to two bytes.
const HELD_OVERHEAD_BYTES = 200
const BYTES_PER_CHARACTER = 2

/**
 * Joins missed events with live ones: pages of backlog + live events -> ordered events, or a gap. Pure. Each connection that resumes has
 * one until it is live.
 *
 *   reading  live events are held up to `heldLimitBytes`; past it they are dropped, and history is read for one more page. While
 *            `isPaused` no event is held: the next page will have it
 *   ahead    the backlog reached further than this replica: live events at or before `after` were sent already and are dropped
 *   done     `hold` met an event behind `after`: this one and all later ones go straight to the reader
 */
export class Recovery {
  #after: Cursor
  #phase: 'reading' | 'ahead' | 'done' = 'reading'
  #isPaused = false
  #held: Event[] = []
  #heldBytes = 0
  #droppedTo: Cursor | null = null
  // Rooms that were named as lost, for everything up to `toldTo`.
  #told = new Set<string>()
  #toldTo: Cursor | null = null
  readonly #heldLimitBytes: number

  /** `after` is the last position that the reader saw. */
  constructor(after: Cursor, heldLimitBytes: number) {
    this.#after = after
    this.#heldLimitBytes = heldLimitBytes
  }

  /** Everything up to here was taken in; the next page starts behind it. */
  get after(): Cursor {
    return this.#after
  }

  /** True while pages are still to be read. */
  get isReading(): boolean {
    return this.#phase === 'reading'
  }

  /** True while it waits for its reader, its turn or the bus, and no answer is under way. */
  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Holds nothing until `goOn`: thousands of readers may make it wait for as long as they like. */
  pause(): void {
    this.#isPaused = true
    this.#dropHeld(null)
  }

  /** To be called before history is read. */
  goOn(): void {
    this.#isPaused = false
    this.#heldBytes = 0
  }

  /** Names lost rooms again, even those that were named before. */
  forgetTold(): void {
    this.#told = new Set()
    this.#toldTo = null
  }

  /** Takes a live event; `true` means that the recovery is over and the caller sends it. */
  hold(event: Event): boolean {
    if (this.#phase === 'done') return true
    if (this.#phase === 'ahead') {
      if (!isNew(event, this.#after)) return false
      this.#phase = 'done'
      return true
    }
    this.#heldBytes += event.data.length * BYTES_PER_CHARACTER + HELD_OVERHEAD_BYTES
    if (!this.#isPaused && this.#heldBytes <= this.#heldLimitBytes) this.#held.push(event)
    else this.#dropHeld(event)
    return false
  }

  /** Takes a page read behind `after`, and says what to send. `head` is a position that was reached before this. */
  take(page: Page, head: Cursor | null = null): Step {
    this.#after = page.upTo
    const lost = this.#newlyLost(page, head)
    const needsMore = page.hasMore || (this.#droppedTo !== null && isAfter(this.#droppedTo, page.upTo))
    if (needsMore) {
      if (!page.hasMore) this.#forgetHeld()
      return { events: page.events, lost, isLive: false }
    }
    const events = page.events.concat(this.#held.filter(event => isNew(event, page.upTo)))
    const last = events.at(-1)
    if (last !== undefined && isAfter(last.cursor, this.#after)) this.#after = last.cursor
    this.#forgetHeld()
    this.#phase = 'ahead'
    return { events, lost, isLive: true }
  }

  // A room is named once for everything that it lost before it was named, however many pages that takes.
  #newlyLost(page: Page, head: Cursor | null): readonly string[] {
    const { upTo } = page
    const isOld = this.#toldTo !== null && this.#toldTo.epoch === upTo.epoch && !isAfter(upTo, this.#toldTo)
    if (!isOld) {
      this.#told = new Set()
      this.#toldTo = head !== null && head.epoch === upTo.epoch && isAfter(head, upTo) ? head : upTo
    }
    const lost = page.lost.filter(room => !this.#told.has(room))
    for (const room of lost) this.#told.add(room)
    return lost
  }

  // From now on only the position counts: history has the events. Ephemeral ones are not in it and are lost, as they may be.
  #dropHeld(newest: Event | null): void {
    this.#droppedTo = (newest ?? this.#held.at(-1))?.cursor ?? this.#droppedTo
    this.#held = []
  }

  #forgetHeld(): void {
    this.#held = []
    this.#heldBytes = 0
    this.#droppedTo = null
  }
}

// An event of another epoch than the pages comes from before a failover. When this replica hears of the next epoch, its bus tells a gap,
// which starts another recovery.
function isNew({ cursor }: Event, after: Cursor): boolean {
  return cursor.epoch === after.epoch && cursor.seq > after.seq
}
