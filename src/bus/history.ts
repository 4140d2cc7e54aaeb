import { getHeapStatistics } from 'node:v8'
import type { Event } from '../event.js'
import { ROOMS_LIMIT } from './bus.js'

// What one event costs in memory beyond its data: the object, its strings, its slot.
const EVENT_OVERHEAD_BYTES = 200

const MIN_LIMIT_BYTES = 16 * 1_048_576
const MAX_LIMIT_BYTES = 512 * 1_048_576

/** Bytes of history that fit a process whose heap is this large: `share` of it, 16-512 MiB. */
export function heapShare(share: number): number {
  const { heap_size_limit: heapBytes } = getHeapStatistics()
  return Math.min(MAX_LIMIT_BYTES, Math.max(MIN_LIMIT_BYTES, heapBytes * share))
}

interface RoomHistory {
  /** In order of seq; those of the room that are still held. */
  readonly events: Event[]
  /** Seq of the newest event that is no longer in `events`, or an upper bound of it: before the first one held lies this. */
  trimmedTo: number
  /** Seq of the room's newest event. */
  last: number
  bytes: number
}

/** Limits of a `History`. */
export interface HistoryOptions {
  readonly historySize: number
  readonly historyTtlMs: number
  /** Bytes of all rooms together; past it the least recently active rooms are forgotten. */
  readonly limitBytes: number
  readonly now: () => number
}

/**
 * Recent events of one epoch in memory, by room, with the proof of what is whole: each room knows up to which seq it was
 * trimmed, and all rooms that are not known at all have nothing after `#forgotten`. Needs no clock for the proof.
 */
export class History {
  readonly #options: HistoryOptions
  // In order of `last`, because a room moves to the end with each event: the first is the least recently active.
  #rooms = new Map<string, RoomHistory>()
  #forgotten: number
  #bytes = 0

  /** Holds nothing, and knows nothing of what happened up to `seq`. */
  constructor(options: HistoryOptions, seq: number) {
    this.#options = options
    this.#forgotten = seq
  }

  /** Keeps an event; seqs must come in rising order. Ephemeral ones take no history. */
  append(event: Event): void {
    if (event.ephemeral) return
    const { seq } = event.cursor
    let room = this.#rooms.get(event.room)
    if (room === undefined) room = { events: [], trimmedTo: this.#forgotten, last: 0, bytes: 0 }
    else this.#rooms.delete(event.room)
    this.#rooms.set(event.room, room)
    room.last = seq
    room.events.push(event)
    const bytes = sizeOf(event)
    room.bytes += bytes
    this.#bytes += bytes
    if (room.events.length > this.#options.historySize) this.#trimFirst(room)
    if (this.#bytes > this.#options.limitBytes || this.#rooms.size > ROOMS_LIMIT) this.#forgetOldRooms()
  }

  /** Events of the room behind `seq`, and whether that is all there were. */
  after(room: string, seq: number): { events: readonly Event[]; isWhole: boolean } {
    const held = this.#rooms.get(room)
    if (held === undefined) return { events: [], isWhole: seq >= this.#forgotten }
    if (held.last <= seq) return { events: [], isWhole: true }
    this.#trimByAge(held)
    const { events } = held
    let from = events.length
    while (from > 0 && events[from - 1]!.cursor.seq > seq) from--
    return { events: from === 0 ? events.slice() : events.slice(from), isWhole: held.trimmedTo <= seq || from > 0 }
  }

  /** Drops what is older than the ttl, so that idle rooms do not keep memory. Cost: all rooms, or as far as the first young one. */
  trim(): void {
    for (const [name, room] of this.#rooms) {
      this.#trimByAge(room)
      if (room.events.length > 0) return
      this.#forget(name, room)
    }
  }

  #trimByAge(room: RoomHistory): void {
    const oldest = this.#options.now() - this.#options.historyTtlMs
    while (room.events.length > 0 && room.events[0]!.at < oldest) this.#trimFirst(room)
  }

  #trimFirst(room: RoomHistory): void {
    const first = room.events.shift()!
    room.trimmedTo = first.cursor.seq
    room.bytes -= sizeOf(first)
    this.#bytes -= sizeOf(first)
  }

  #forgetOldRooms(): void {
    for (const [name, room] of this.#rooms) {
      if (this.#bytes <= this.#options.limitBytes && this.#rooms.size <= ROOMS_LIMIT) return
      if (this.#rooms.size > 1) this.#forget(name, room)
      else while (room.events.length > 1 && this.#bytes > this.#options.limitBytes) this.#trimFirst(room)
    }
  }

  #forget(name: string, room: RoomHistory): void {
    this.#rooms.delete(name)
    this.#bytes -= room.bytes
    this.#forgotten = Math.max(this.#forgotten, room.last)
  }
}

function sizeOf(event: Event): number {
  return event.data.length + EVENT_OVERHEAD_BYTES
}
