import { type Cursor, isAfter } from './cursor.js'
import type { Event } from './event.js'

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

// What one held event costs beyond its data.
const HELD_OVERHEAD_BYTES = 100

/**
 * Joins what a reader missed with what happens meanwhile: backlog pages + live events -> ordered events, or a gap.
 * Pure; one for each connection that resumes, gone when it is live.
 *
 *   reading  live events are held (up to `heldLimitBytes`; past it they are dropped, and read from history as one more page)
 *   ahead    the backlog reached further than this replica: live events at or before `after` were seen and are dropped
 *   done     `hold` was asked about an event behind `after` while ahead: it and all later ones go straight to the reader
 */
export class Recovery {
  #after: Cursor
  #phase: 'reading' | 'ahead' | 'done' = 'reading'
  #held: Event[] = []
  #heldBytes = 0
  #droppedTo: Cursor | null = null
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

  /** Takes a live event; `true` means that the recovery is over and the caller sends it. */
  hold(event: Event): boolean {
    if (this.#phase === 'done') return true
    if (this.#phase === 'ahead') {
      if (!isAfter(event.cursor, this.#after)) return false
      this.#phase = 'done'
      return true
    }
    this.#heldBytes += event.data.length + HELD_OVERHEAD_BYTES
    if (this.#heldBytes <= this.#heldLimitBytes) {
      this.#held.push(event)
      return false
    }
    this.#held = []
    // From now on only the position counts; history has the events (ephemeral ones are the first to go, by their nature).
    this.#droppedTo = event.cursor
    return false
  }

  /** Takes a page read behind `after`, and says what to send. */
  take(page: Page): Step {
    this.#after = page.upTo
    const needsMore = page.hasMore || (this.#droppedTo !== null && isAfter(this.#droppedTo, page.upTo))
    if (needsMore) {
      if (!page.hasMore) this.#forgetHeld()
      return { events: page.events, lost: page.lost, isLive: false }
    }
    const events = page.events.concat(this.#held.filter(event => isAfter(event.cursor, page.upTo)))
    const last = events.at(-1)
    if (last !== undefined && isAfter(last.cursor, this.#after)) this.#after = last.cursor
    this.#forgetHeld()
    this.#phase = 'ahead'
    return { events, lost: page.lost, isLive: true }
  }

  #forgetHeld(): void {
    this.#held = []
    this.#heldBytes = 0
    this.#droppedTo = null
  }
}
