import { randomBytes } from 'node:crypto'
import { type Cursor, formatCursor } from '../cursor.js'
import type { Draft } from '../draft.js'
import type { Event, Published } from '../event.js'
import { Closed } from '../failures.js'
import { heapShare } from '../heap.js'
import { type Bus, type BusHealth, type BusOptions, PAGE_BYTES, type Replay, type Subscriber } from './bus.js'
import { History } from './history.js'
import { Keys } from './keys.js'
import { pageFrom } from './replay.js'

const TRIM_INTERVAL_MS = 30_000

/** Options of the memory bus. */
export interface MemoryBusOptions extends BusOptions {
  /** The clock, in ms since 1970. */
  readonly now?: () => number
}

/** The bus of a single process. Its order and history end with the process: an old cursor then reads as loss. */
export class MemoryBus implements Bus {
  /** Memory reads no server and misses nothing. */
  readonly counts = { historyReads: 0, catchUps: 0 }
  readonly #epoch = randomBytes(5).toString('hex')
  readonly #now: () => number
  readonly #history: History
  readonly #keys = new Keys()
  #subscriber: Subscriber | null = null
  #seq = 0
  #trimTimer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: MemoryBusOptions) {
    this.#now = options.now ?? Date.now
    this.#history = new History({ ...options, limitBytes: heapShare(1 / 4), now: this.#now }, this.position)
  }

  connect(subscriber: Subscriber): void {
    this.#subscriber = subscriber
    this.#trimTimer = setInterval(() => this.#history.trim(), TRIM_INTERVAL_MS).unref()
  }

  async publish(drafts: readonly Draft[], onNewRooms?: (count: number) => void): Promise<Published[]> {
    if (this.#isClosed) throw new Closed('bus')
    const at = this.#now()
    const events: Event[] = []
    let newRooms = 0
    const published = drafts.map(draft => {
      const { room, key } = draft
      const first = key === undefined ? undefined : this.#keys.find(room, key, at)
      if (first !== undefined) return { ...first, duplicate: true }
      const event = this.#eventOf(draft, at)
      if (this.#history.append(event)) newRooms++
      events.push(event)
      const answer = { id: formatCursor(event.cursor), room, at }
      if (key !== undefined) this.#keys.remember(room, key, answer, at)
      return answer
    })
    if (newRooms > 0) onNewRooms?.(newRooms)
    if (events.length > 0) this.#subscriber?.onEvents(events)
    return published
  }

  replay(after: Cursor, rooms: readonly string[], limitBytes = PAGE_BYTES): Replay {
    const upTo = this.position
    if (after.epoch !== this.#epoch || after.seq > this.#seq) return { events: [], lost: rooms, upTo, hasMore: false }
    return pageFrom(this.#history, after.seq, rooms, this.#history.lostOf(rooms, after.seq), upTo, limitBytes)
  }

  get position(): Cursor {
    return { epoch: this.#epoch, seq: this.#seq }
  }

  health(): BusHealth {
    return { status: 'ok', reason: null, lagMs: 0 }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#trimTimer !== null) clearInterval(this.#trimTimer)
    this.#trimTimer = null
    this.#subscriber = null
  }

  #eventOf({ room, type, data, ephemeral }: Draft, at: number): Event {
    this.#seq++
    return { cursor: this.position, room, type, at, data, ephemeral }
  }
}
