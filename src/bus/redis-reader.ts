import type { Cursor } from '../cursor.js'
import type { Event } from '../event.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'
import { PAGE_BYTES, type Replay } from './bus.js'
import type { RedisCounter } from './redis-counter.js'

const replayScript = loadScript(import.meta.url, 'counter.lua', 'replay.lua')
const movedScript = loadScript(import.meta.url, 'counter.lua', 'moved.lua')

const PAGE_EVENTS = 512

/** The position of the bus, and the rooms that moved since another position. */
export interface Moved {
  /** Names the bus's keys: a Redis that lost them begins a new life. */
  readonly life: string
  /** The bus's current position. */
  readonly position: Cursor
  /** How the position asked about lies in the current order: see `resolve` in counter.lua. */
  readonly kind: 'same' | 'lineage' | 'future' | 'unknown'
  /** The position asked about, in the current order. */
  readonly from: Cursor
  /** Rooms that are not in `rooms` may still have moved up to here. */
  readonly forgotten: number
  readonly rooms: ReadonlySet<string>
}

/** Where the histories go on after a page, so that the next page need not search. */
interface Told {
  readonly upTo: Cursor
  /** By the room's index. */
  readonly nextSeqs: ReadonlyMap<number, number>
}

/** The reading half of the Redis bus: histories, and the rooms that moved. Errors as in `RedisCounter.run`. */
export class RedisReader {
  readonly #counter: RedisCounter
  readonly #names: RedisNames
  readonly #historyTtlMs: number
  /** For an array of rooms: where their histories go on after the last page that was read. */
  readonly #told = new WeakMap<readonly string[], Told>()
  /** Pages read so far. */
  reads = 0

  constructor(counter: RedisCounter, names: RedisNames, historyTtlMs: number) {
    this.#counter = counter
    this.#names = names
    this.#historyTtlMs = historyTtlMs
  }

  /** Reads a page of about `bytes`: the events that `rooms` got after `after`, no further than `until`. */
  async replay(after: Cursor, rooms: readonly string[], until: Cursor | null, bytes = PAGE_BYTES): Promise<Replay> {
    this.reads++
    const pairs = this.#nextSeqsOf(rooms, after)
    const answer = await this.#counter.run(replayScript, life => ({
      keys: rooms.map(room => this.#names.history(life, room)),
      args: [after.epoch, after.seq, until === null ? '' : until.seq, this.#historyTtlMs, PAGE_EVENTS, bytes, ...pairs],
    }))
    // Safe: replay.lua returns these, in this order.
    const [epoch, end, hasMore, lost, flat, nextSeqs] = answer as [
      string,
      string,
      number,
      number[],
      unknown[],
      unknown[],
    ]
    const events: Event[] = []
    for (let i = 0; i < flat.length; i += 5) {
      const [index, seq, at, type, data] = flat.slice(i, i + 5)
      events.push({
        cursor: { epoch, seq: Number(seq) },
        room: rooms[Number(index) - 1]!,
        type: String(type),
        at: Number(at),
        data: String(data),
        ephemeral: false,
      })
    }
    const upTo = { epoch, seq: Number(end) }
    this.#remember(rooms, upTo, nextSeqs)
    return { events, lost: lost.map(index => rooms[index - 1]!), upTo, hasMore: hasMore === 1 }
  }

  /** Resolves with the bus's current position, and the rooms that moved since `after`; `null` counts as an unknown position. */
  async moved(after: Cursor | null): Promise<Moved> {
    let life = ''
    const answer = await this.#counter.run(movedScript, current => {
      life = current
      return { keys: [], args: [after?.epoch ?? '', after?.seq ?? 0] }
    })
    // Safe: moved.lua returns strings, in this order.
    const [epoch, seq, kind, from, forgotten, ...rooms] = answer as [
      string,
      string,
      Moved['kind'],
      string,
      string,
      ...string[],
    ]
    return {
      life,
      position: { epoch, seq: Number(seq) },
      kind,
      from: { epoch, seq: Number(from) },
      forgotten: Number(forgotten),
      rooms: new Set(rooms),
    }
  }

  // As replay.lua takes them: the name of each room, and the seq of its next event or 0.
  #nextSeqsOf(rooms: readonly string[], after: Cursor): (string | number)[] {
    const told = this.#told.get(rooms)
    const isNextPage = told !== undefined && told.upTo.epoch === after.epoch && told.upTo.seq === after.seq
    return rooms.flatMap((room, i) => [room, (isNextPage && told.nextSeqs.get(i)) || 0])
  }

  #remember(rooms: readonly string[], upTo: Cursor, flat: readonly unknown[]): void {
    if (flat.length === 0) {
      this.#told.delete(rooms)
      return
    }
    const nextSeqs = new Map<number, number>()
    for (let i = 0; i < flat.length; i += 2) nextSeqs.set(Number(flat[i]) - 1, Number(flat[i + 1]))
    this.#told.set(rooms, { upTo, nextSeqs })
  }
}
