import type { Cursor } from '../cursor.js'
import type { Event } from '../event.js'
import { FRAME_OVERHEAD_BYTES, ROOMS_LIMIT } from './bus.js'
import { Records, type RecordsReader } from './records.js'

// Memory of a room beyond its events: names, objects, a Buffer of its own. Measured with Node 20.
const ROOM_BYTES = 1_000

interface RoomHistory {
  readonly name: string
  /** The events of the room that are still held. */
  readonly records: Records
  /** Upper bound on the seq of the newest trimmed event. */
  trimmedTo: number
  /** Seq of the room's newest event. */
  last: number
  /** The rooms that were active just before and just after this one. */
  older: RoomHistory | null
  newer: RoomHistory | null
}

/** Limits of a `History`. */
export interface HistoryOptions {
  readonly historySize: number
  readonly historyTtlMs: number
  /** Bytes of all rooms together; past them the least recently active rooms are forgotten. */
  readonly limitBytes: number
  readonly now: () => number
}

/**
 * Recent events of one epoch in memory, by room, with the proof of which rooms are whole: each room knows up to which seq it was trimmed,
 * and an unknown room has no event after `#forgotten`. The proof needs no clock. Past `limitBytes` it forgets rooms with all their events,
 * the least recently active first (LRU).
 */
export class History {
  readonly #options: HistoryOptions
  readonly #epoch: string
  readonly #rooms = new Map<string, RoomHistory>()
  // The least and the most recently active room.
  #oldest: RoomHistory | null = null
  #newest: RoomHistory | null = null
  #forgotten: number
  #bytes = 0

  /** Holds no event. Every room may have had events up to `start`. */
  constructor(options: HistoryOptions, start: Cursor) {
    this.#options = options
    this.#epoch = start.epoch
    this.#forgotten = start.seq
  }

  /**
   * Keeps an event of this epoch; seqs must come in rising order. Ephemeral events are not kept. Returns true if the room was not known
   * before.
   */
  append(event: Event): boolean {
    if (event.ephemeral) return false
    const known = this.#rooms.size
    const room = this.#touch(event.room)
    const isNew = this.#rooms.size > known
    room.last = event.cursor.seq
    this.#bytes += room.records.push(event)
    if (room.records.length > this.#options.historySize) this.#trimFirst(room)
    if (this.#bytes > this.#options.limitBytes || this.#rooms.size > ROOMS_LIMIT) this.#forgetOldRooms()
    return isNew
  }

  /** The rooms among these that may have had an event after `seq` and no longer hold it. Decodes nothing. */
  lostOf(rooms: readonly string[], seq: number): string[] {
    return rooms.filter(name => !this.#isWhole(name, seq))
  }

  /**
   * Events of these rooms after `seq` in bus order, of about `limitBytes` (the last one may pass it). `hasMore`: others follow.
   * Cost: the returned events, and a step for each event held after `seq`.
   */
  after(rooms: readonly string[], seq: number, limitBytes: number): { events: Event[]; hasMore: boolean } {
    const sources = this.#sourcesOf(rooms, seq)
    const events: Event[] = []
    let bytes = 0
    while (sources.length > 0 && bytes < limitBytes) {
      // Readers follow few rooms with many events after `seq`, so a look at each room costs less than keeping them sorted.
      let next = 0
      for (let i = 1; i < sources.length; i++) if (sources[i]!.reader.seq < sources[next]!.reader.seq) next = i
      const { name, reader } = sources[next]!
      bytes += reader.byteLength + name.length + FRAME_OVERHEAD_BYTES
      events.push(reader.read(this.#epoch, name))
      if (reader.isDone) sources.splice(next, 1)
    }
    return { events, hasMore: sources.length > 0 }
  }

  /** Drops events older than the ttl, so that idle rooms do not keep memory. Cost: a step for each room up to the first young one. */
  trim(): void {
    for (let room = this.#oldest; room !== null; room = this.#oldest) {
      this.#trimByAge(room)
      if (room.records.length > 0) return
      this.#forget(room)
    }
  }

  #isWhole(name: string, seq: number): boolean {
    const room = this.#rooms.get(name)
    if (room === undefined) return seq >= this.#forgotten
    if (room.last <= seq) return true
    this.#trimByAge(room)
    return room.trimmedTo <= seq || (room.records.length > 0 && room.records.firstSeq <= seq)
  }

  #sourcesOf(rooms: readonly string[], seq: number): { name: string; reader: RecordsReader }[] {
    const sources = []
    for (const name of rooms) {
      const room = this.#rooms.get(name)
      // Not trimmed here: a room that was called whole a moment ago must still be whole.
      if (room === undefined || room.last <= seq) continue
      const reader = room.records.readerAfter(seq)
      if (reader !== null) sources.push({ name, reader })
    }
    return sources
  }

  // The room, as the most recently active one.
  #touch(name: string): RoomHistory {
    let room = this.#rooms.get(name)
    if (room === undefined) {
      room = { name, records: new Records(), trimmedTo: this.#forgotten, last: 0, older: null, newer: null }
      this.#rooms.set(name, room)
      this.#bytes += ROOM_BYTES
    } else if (room === this.#newest) return room
    else this.#unlink(room)
    room.older = this.#newest
    room.newer = null
    if (this.#newest === null) this.#oldest = room
    else this.#newest.newer = room
    this.#newest = room
    return room
  }

  #unlink({ older, newer }: RoomHistory): void {
    if (older === null) this.#oldest = newer
    else older.newer = newer
    if (newer === null) this.#newest = older
    else newer.older = older
  }

  #trimByAge(room: RoomHistory): void {
    const oldest = this.#options.now() - this.#options.historyTtlMs
    while (room.records.length > 0 && room.records.firstAt < oldest) this.#trimFirst(room)
  }

  #trimFirst(room: RoomHistory): void {
    room.trimmedTo = room.records.firstSeq
    this.#bytes -= room.records.shift()
  }

  #forgetOldRooms(): void {
    for (let room = this.#oldest; room !== null; room = this.#oldest) {
      if (this.#bytes <= this.#options.limitBytes && this.#rooms.size <= ROOMS_LIMIT) return
      if (this.#rooms.size === 1) {
        while (room.records.length > 1 && this.#bytes > this.#options.limitBytes) this.#trimFirst(room)
        return
      }
      this.#forget(room)
    }
  }

  #forget(room: RoomHistory): void {
    this.#rooms.delete(room.name)
    this.#unlink(room)
    this.#bytes -= room.records.byteLength + ROOM_BYTES
    this.#forgotten = Math.max(this.#forgotten, room.last)
  }
}
