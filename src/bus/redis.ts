import { randomUUID } from 'node:crypto'
import type { Cursor } from '../cursor.js'
import type { Draft } from '../draft.js'
import type { Published } from '../event.js'
import { BusUnavailable } from '../failures.js'
import { Gate } from '../gate.js'
import { heapShare } from '../heap.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'
import { type Bus, type BusHealth, type BusOptions, PAGE_BYTES, type Replay, type Subscriber } from './bus.js'
import { History } from './history.js'
import { RedisCounter } from './redis-counter.js'
import { RedisPublisher } from './redis-publisher.js'
import { RedisReader } from './redis-reader.js'
import { pageFrom } from './replay.js'
import { Subscription } from './subscription.js'

const beaconScript = loadScript(import.meta.url, 'counter.lua', 'beacon.lua')

const BEAT_MS = 1_000
// A subscriber that has not heard its own beacon for this long counts as cut off, and is renewed.
const DEAF_AFTER_MS = 4_000
// Histories read for streams at the same time.
const REPLAYS_AT_ONCE = 32
const CLOSE_TIMEOUT_MS = 2_000

/** Options of the Redis bus. */
export interface RedisBusOptions extends BusOptions {
  /** Its owner connects it once the bus has a subscriber, and closes it after the bus. */
  readonly link: RedisLink
  readonly names: RedisNames
  /** Redis replicas that must have an event before it counts as published; 0 for none. */
  readonly waitReplicas: number
  readonly waitMs: number
  /** Called with trouble, for logs. */
  readonly onTrouble: (error: unknown, what: string) => void
  /** Called about once a second with the time of Redis (ms since 1970), and when Redis was asked, in ms of the monotonic clock. */
  readonly onTime?: (time: number, sentAt: number) => void
  /** Called when Redis lost data, or another server took its place. */
  readonly onNewEpoch?: () => void
}

/**
 * The bus of many replicas. One script in Redis counts, stores and announces events (publish.lua). A subscription puts messages in order
 * and closes holes from history. Recent events stay in memory, so that most resumes ask no Redis.
 *
 *   new      before `connect`
 *   running  `position` is null until Redis was first reached; it stands still while Redis is away
 *   closed   refuses everything
 */
export class RedisBus implements Bus {
  readonly #options: RedisBusOptions
  readonly #link: RedisLink
  readonly #names: RedisNames
  readonly #counter: RedisCounter
  readonly #publisher: RedisPublisher
  readonly #reader: RedisReader
  readonly #gate = new Gate(REPLAYS_AT_ONCE)
  #tail: History
  #subscription: Subscription | null = null
  #beatTimer: NodeJS.Timeout | null = null
  readonly #mark = randomUUID()
  #beats = 0
  // When each beacon under way was sent, and when one of our own was last heard; monotonic ms.
  readonly #sentAt = new Map<number, number>()
  #heardAt = 0
  #lagMs: number | null = null
  /** The epoch of the last beacon. */
  #epoch: string | null = null
  #trouble: string | null = 'not connected to Redis yet'
  #state: 'new' | 'running' | 'closed' = 'new'

  constructor(options: RedisBusOptions) {
    this.#options = options
    this.#link = options.link
    this.#names = options.names
    this.#counter = new RedisCounter(options.link, this.#names)
    this.#publisher = new RedisPublisher({ ...options, counter: this.#counter })
    this.#reader = new RedisReader(this.#counter, this.#names, options.historyTtlMs)
    this.#tail = this.#emptyTail({ epoch: '', seq: 0 })
  }

  connect(subscriber: Subscriber): void {
    if (this.#state !== 'new') return
    this.#state = 'running'
    const subscription = new Subscription({
      reader: this.#reader,
      subscriber,
      onContiguous: events => {
        for (const event of events) this.#tail.append(event)
      },
      onJump: position => {
        this.#tail = this.#emptyTail(position)
      },
      onTrouble: this.#options.onTrouble,
    })
    this.#subscription = subscription
    this.#link.subscribe(this.#names.events, message => this.#hear(subscription.take(message)))
    this.#link.onSubscribed(() => {
      this.#heardAt = performance.now()
      subscription.resync()
    })
    this.#link.onUnsubscribed(() => subscription.detach())
    this.#link.onReady(() => this.#beat())
    this.#beatTimer = setInterval(() => this.#beat(), BEAT_MS).unref()
  }

  publish(drafts: readonly Draft[], onNewRooms?: (count: number) => void): Promise<Published[]> {
    return this.#publisher.publish(drafts, onNewRooms)
  }

  replay(after: Cursor, rooms: readonly string[], limitBytes = PAGE_BYTES): Replay | Promise<Replay> {
    const { position } = this
    if (position !== null && position.epoch === after.epoch && after.seq <= position.seq) {
      const lost = this.#tail.lostOf(rooms, after.seq)
      if (lost.length === 0) return pageFrom(this.#tail, after.seq, rooms, lost, position, limitBytes)
    }
    if (this.#state === 'closed') return Promise.reject(new BusUnavailable('the bus is closed'))
    // Live events begin at the first position: events between an earlier read and that position would reach nobody.
    if (position === null) return Promise.reject(new BusUnavailable('Redis was not reached yet'))
    return this.#gate.run(() => this.#reader.replay(after, rooms, null, limitBytes))
  }

  get position(): Cursor | null {
    return this.#subscription?.position ?? null
  }

  /** Counts so far: pages of history read from Redis, and catch-ups. */
  get counts(): { historyReads: number; catchUps: number } {
    return { historyReads: this.#reader.reads, catchUps: this.#subscription?.catchUps ?? 0 }
  }

  health(): BusHealth {
    const reason = this.#problem()
    const status = reason === null ? 'ok' : this.position === null ? 'starting' : 'degraded'
    return { status, reason, lagMs: this.#lagMs }
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    if (this.#beatTimer !== null) clearInterval(this.#beatTimer)
    this.#subscription?.detach()
    await Promise.race([this.#publisher.close(), new Promise(resolve => setTimeout(resolve, CLOSE_TIMEOUT_MS).unref())])
  }

  #problem(): string | null {
    if (!this.#link.isReady) return 'not connected to Redis'
    if (this.#trouble !== null) return this.#trouble
    if (!this.#link.isSubscriberReady) return 'not subscribed to Redis'
    return this.#subscription?.isLive ? null : 'catching up'
  }

  #emptyTail(start: Cursor): History {
    const { historySize, historyTtlMs } = this.#options
    return new History({ historySize, historyTtlMs, limitBytes: heapShare(1 / 8), now: Date.now }, start)
  }

  // Once a second: announces the position, which proves that both connections work, and renews a subscriber that hears nothing.
  #beat(): void {
    if (this.#state !== 'running') return
    this.#link.pingSubscriber()
    this.#tail.trim()
    if (!this.#link.isReady) return
    const beat = ++this.#beats
    const sentAt = performance.now()
    const arrived = this.position
    this.#sentAt.set(beat, sentAt)
    this.#counter.runInAny(beaconScript, [this.#names.events, `${this.#mark} ${beat}`]).then(
      answer => this.#afterBeat(answer, sentAt, arrived),
      error => {
        this.#trouble = error instanceof Error ? error.message : String(error)
        this.#sentAt.delete(beat)
      },
    )
  }

  #afterBeat(answer: unknown[], sentAt: number, arrived: Cursor | null): void {
    if (this.#state !== 'running') return
    // Safe: beacon.lua returns these three strings behind the life.
    const [epoch, seq, time] = answer as [string, string, string]
    this.#trouble = null
    this.#options.onTime?.(Number(time), sentAt)
    if (this.#epoch !== null && this.#epoch !== epoch) this.#options.onNewEpoch?.()
    this.#epoch = epoch
    const subscription = this.#subscription!
    if (!this.#link.isSubscriberReady) return
    if (performance.now() - this.#heardAt > DEAF_AFTER_MS && sentAt - this.#heardAt > DEAF_AFTER_MS - BEAT_MS) {
      this.#options.onTrouble(new Error('nothing is heard on the channel'), 'subscriber is renewed')
      this.#heardAt = performance.now()
      this.#link.renewSubscriber()
    } else if (!subscription.isLive) {
      if (!subscription.isCatchingUp) subscription.resync()
    } else if (arrived !== null && epoch === arrived.epoch && Number(seq) < arrived.seq) {
      // The counter is behind an event that had arrived before it was asked, so its data was set back. The position is compared as it was
      // then: events that arrived since may be ahead of the answer.
      subscription.resync()
    }
  }

  #hear(mark: string | null): void {
    if (mark === null || !mark.startsWith(this.#mark)) return
    const beat = Number(mark.slice(this.#mark.length + 1))
    const sentAt = this.#sentAt.get(beat)
    this.#sentAt.clear()
    this.#heardAt = performance.now()
    if (sentAt !== undefined) this.#lagMs = this.#heardAt - sentAt
  }
}
