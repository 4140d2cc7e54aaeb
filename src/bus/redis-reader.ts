import type { Cursor } from '../cursor.js'
import type { Event } from '../event.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'
import type { Replay } from './bus.js'
import type { RedisState } from './redis-state.js'
import { sortBySeq } from './replay.js'

const replayScript = loadScript(import.meta.url, 'state.lua', 'replay.lua')
const movedScript = loadScript(import.meta.url, 'state.lua', 'moved.lua')

const PAGE_EVENTS = 512
// A reader is sent about as much at a time; what else a page holds is read again with the next one.
const PAGE_BYTES = 131_072

/** Where the bus is, and what moved since a position. */
export interface Moved {
  /** Names the bus's keys: a Redis that lost them begins a new life. */
  readonly life: string
  /** The bus's current position. */
  readonly position: Cursor
  /** What the position asked about is in the current order: see state.lua. */
  readonly kind: 'same' | 'lineage' | 'future' | 'unknown'
  /** The position asked about, in the current order. */
  readonly from: Cursor
  /** Rooms that are not in `rooms` may still have moved up to here. */
  readonly forgotten: number
  readonly rooms: ReadonlySet<string>
}

/** The reading half of the Redis bus: histories and what moved. Errors as in `RedisLink.run`. */
export class RedisReader {
  readonly #state: RedisState
  readonly #names: RedisNames
  readonly #historyTtlMs: number
  /** Pages read so far. */
  reads = 0

  constructor(state: RedisState, names: RedisNames, historyTtlMs: number) {
    this.#state = state
    this.#names = names
    this.#historyTtlMs = historyTtlMs
  }

  /** A page of what `rooms` got behind `after`, no further than `until`, of about `bytes`. */
  async replay(after: Cursor, rooms: readonly string[], until: Cursor | null, bytes = PAGE_BYTES): Promise<Replay> {
    this.reads++
    const answer = await this.#state.run(replayScript, life => ({
      keys: rooms.map(room => this.#names.history(life, room)),
      args: [after.epoch, after.seq, until === null ? '' : until.seq, this.#historyTtlMs, PAGE_EVENTS, bytes, ...rooms],
    }))
    // Safe: replay.lua returns these, in this order.
    const [epoch, upTo, hasMore, lost, flat] = answer as [string, string, number, number[], (string | number)[]]
    const events: Event[] = []
    for (let i = 0; i < flat.length; i += 5) {
      const [index, seq, at, type, data] = flat.slice(i, i + 5)
      const room = rooms[Number(index) - 1]!
      events.push({
        cursor: { epoch, seq: Number(seq) },
        room,
        type: String(type),
        at: Number(at),
        data: String(data),
        ephemeral: false,
      })
    }
    sortBySeq(events)
    return {
      events,
      lost: lost.map(index => rooms[index - 1]!),
      upTo: { epoch, seq: Number(upTo) },
      hasMore: hasMore === 1,
    }
  }

  /** Where the bus is, and which rooms moved since `after` (`null`: only where it is). */
  async moved(after: Cursor | null): Promise<Moved> {
    let life = ''
    const answer = await this.#state.run(movedScript, current => {
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
}
