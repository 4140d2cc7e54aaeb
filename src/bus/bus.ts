import type { Cursor } from '../cursor.js'
import type { Draft } from '../draft.js'
import type { Event, GapReason, Published } from '../event.js'

/** Receives the events of a bus. One per bus. */
export interface Subscriber {
  /** Called with every event of every room, in bus order, each once. `onGap` tells of events that the bus could not get. */
  onEvents(events: readonly Event[]): void
  /** Events of these rooms (`null`: of any room) may be missing before the next event. Called between events, in order. */
  onGap(rooms: readonly string[] | null, reason: GapReason): void
  /** The bus can be read again: a call that failed with `BusUnavailable` is worth another try. */
  onReady(): void
  /** The rooms that readers of this replica follow: after a break only these are read again. */
  followedRooms(): Iterable<string>
}

/** A page of the events that some rooms got after a cursor. */
export interface Replay {
  /** In bus order, none at or before the cursor asked for, none after `upTo`. */
  readonly events: readonly Event[]
  /** Rooms that may miss an event before `upTo`. Empty is a proof that none is missing. */
  readonly lost: readonly string[]
  /** Everything of these rooms up to here is in `events` (or named in `lost`). */
  readonly upTo: Cursor
  /** True when more follows `upTo`: ask again from there. */
  readonly hasMore: boolean
}

/** The state of a bus, for probes and metrics. */
export interface BusHealth {
  /** `starting`: never connected so far. `degraded`: streams are useful, but publishing or catching up may not work. */
  readonly status: 'ok' | 'degraded' | 'starting'
  /** What is wrong, for people; never holds a credential. */
  readonly reason: string | null
  /** How long this replica's own message last took through the bus, in ms; `null` when unknown. */
  readonly lagMs: number | null
}

/** Counts since the bus was made. */
export interface BusCounts {
  /** Pages of history read from the server. */
  readonly historyReads: number
  /** How often live events were held to read missed ones. */
  readonly catchUps: number
}

/**
 * The part that all replicas share: it puts events in one order, keeps their history and announces them to every replica.
 * The order covers all rooms, but a history is finite: `replay` names the rooms that may miss events.
 */
export interface Bus {
  /**
   * Starts to deliver to `subscriber`. A bus that needs a connection delivers as soon as it has one, and again after every break.
   * Call it once, before anything else.
   */
  connect(subscriber: Subscriber): void
  /**
   * Publishes all drafts as one atomic step, or none; answers them in order. A draft whose key was used in its room within
   * 5 minutes is not published again and answers the first result with `duplicate: true`. The same key in another room is
   * another key. `onNewRooms` is called before this resolves, when some of the drafts began rooms that the bus did not know,
   * with how many; ephemeral events begin none.
   * @throws BusUnavailable  nothing was published
   * @throws BusUncertain    the answer was lost; repeating with the same keys is safe
   * @throws Closed          after close
   */
  publish(drafts: readonly Draft[], onNewRooms?: (count: number) => void): Promise<Published[]>
  /**
   * Reads the events that `rooms` got after `after`, a page of about `limitBytes` at a time (default `PAGE_BYTES`): the last event
   * may pass it. Synchronous when memory has the answer. Pages that follow each other are cheapest with the same array of rooms.
   * @throws BusUnavailable  the history cannot be read now; `onReady` says when to try again
   */
  replay(after: Cursor, rooms: readonly string[], limitBytes?: number): Replay | Promise<Replay>
  /**
   * The subscriber got every event up to here, or was told of a gap, since the bus was first reached; `null` until then.
   */
  readonly position: Cursor | null
  health(): BusHealth
  readonly counts: BusCounts
  /** Idempotent: refuses new publishes, waits for those under way (2 s at most), releases everything. */
  close(): Promise<void>
}

/** Limits that every bus keeps. */
export interface BusOptions {
  /** Events kept per room. */
  readonly historySize: number
  /** How long an event is kept, in ms. */
  readonly historyTtlMs: number
}

/** Bytes of a page of history, unless another size is asked for. */
export const PAGE_BYTES = 131_072

/** Bytes that an event in a page counts beyond its type and data: about as many as a frame adds to them. */
export const FRAME_OVERHEAD_BYTES = 100

/** How long an idempotency key is remembered. */
export const KEY_TTL_MS = 300_000

/** Rooms whose last position is remembered; older ones are forgotten together, up to a known seq. */
export const ROOMS_LIMIT = 100_000
