import type { Writable } from 'node:stream'
import type { Cursor } from '../cursor.js'
import type { CloseReason, EndReason } from './close-reason.js'
import { COMMENT_FRAME, encodeClose, encodeControl } from './frame.js'
import type { FrameChain } from './frame-chain.js'
import type { Recovery } from './recovery.js'
import type { Sink } from './sink.js'
import { sinkOf } from './socket-sink.js'

// High-water mark: with more bytes waiting, a reader counts as backed up. Low enough that the next page of a backlog still fits behind them.
const BACKED_UP_BYTES = 16_384
const BACKED_UP_SHARE = 1 / 8

/** What a connection is made of. */
export interface ConnectionOptions {
  readonly id: string
  readonly userId: string
  /** Its user's room, `*` and the rooms it asked for; each once. */
  readonly rooms: readonly string[]
  /** Data is sent as `{"room","type","at","data"}`. */
  readonly envelope: boolean
  /** The socket (HTTP/1.1) or stream (HTTP/2) that takes the bytes. */
  readonly output: Writable
  readonly queueLimitBytes: number
  /** When the viewer's credential ends (`null`: never) and when it was made (`null`: unknown), in ms since 1970. */
  readonly expiresAt: number | null
  readonly issuedAt: number | null
  /** When its age ends it, in ms of the monotonic clock. */
  readonly retiresAt: number
  /** Ms on a monotonic clock. */
  readonly now: () => number
}

/**
 * One open stream of one user.
 *
 *   opening  `stream.open` was not sent; live events are held by `recovery`, or dropped if it is null (a first visit)
 *   open     events flow, through `recovery` while it is not null
 *   ending   `stream.close` was sent or the queue is full: takes nothing more, waits for the last bytes to leave
 *   closed   the output is gone; `pending` is null
 */
export class Connection {
  readonly id: string
  readonly userId: string
  readonly rooms: readonly string[]
  readonly envelope: boolean
  /** Frames of this tick that are not written yet. Only the hub sets it. */
  pending: FrameChain | null = null
  /** When something was last written, in ms of the monotonic clock. */
  lastWriteAt: number
  readonly expiresAt: number | null
  readonly issuedAt: number | null
  readonly retiresAt: number
  /** True once `stream.expiring` was sent. Only the sweep sets it. */
  wasToldOfExpiry = false
  readonly #sink: Sink
  #state: 'opening' | 'open' | 'ending' | 'closed' = 'opening'
  #recovery: Recovery | null = null
  #endReason: EndReason = 'gone'
  #endingSince = 0
  readonly #queueLimitBytes: number
  readonly #now: () => number

  constructor(options: ConnectionOptions) {
    this.id = options.id
    this.userId = options.userId
    this.rooms = options.rooms
    this.envelope = options.envelope
    this.#sink = sinkOf(options.output, Math.min(BACKED_UP_BYTES, options.queueLimitBytes * BACKED_UP_SHARE))
    this.#queueLimitBytes = options.queueLimitBytes
    this.#now = options.now
    this.expiresAt = options.expiresAt
    this.issuedAt = options.issuedAt
    this.retiresAt = options.retiresAt
    this.lastWriteAt = options.now()
  }

  /** True once `stream.open` was sent and until the end begins. */
  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** True from the first byte of the end on. */
  get isEnded(): boolean {
    return this.#state === 'ending' || this.#state === 'closed'
  }

  /** Why it ended; `gone` when the reader left by itself. */
  get endReason(): EndReason {
    return this.#endReason
  }

  /** True while the reader takes less than it is sent. */
  get isBackedUp(): boolean {
    return this.#sink.isBackedUp
  }

  /** Bytes that wait for the reader. */
  get queuedBytes(): number {
    return this.#state === 'closed' ? 0 : this.#sink.queuedBytes
  }

  /** Not null while missed events are still to be sent. */
  get recovery(): Recovery | null {
    return this.#recovery
  }

  /** Only the resumer calls it: missed events come first from now on, and live events go through `recovery`. */
  recover(recovery: Recovery): void {
    this.#recovery = recovery
  }

  /** Live events go straight to the reader from now on: the one place where a recovery ends. */
  goLive(): void {
    this.#recovery = null
  }

  /** Sends `stream.open`, the first event of every stream. `id` moves the reader's position; `null` leaves it. */
  open(resumed: boolean | null, id: Cursor | null, heartbeatMs: number): void {
    if (this.#state !== 'opening') return
    this.#state = 'open'
    const { userId, rooms } = this
    this.write(encodeControl('stream.open', { connectionId: this.id, userId, rooms, resumed, heartbeatMs }, id))
  }

  /**
   * Writes whole frames. Never waits and never throws. `full`: the queue would pass its limit, and nothing was written. `at` is the time, in
   * ms of the monotonic clock.
   */
  write(frames: Buffer, at = this.#now()): 'sent' | 'full' | 'ended' {
    if (this.isEnded) return 'ended'
    const queued = this.#sink.queuedBytes
    if (queued > 0 && queued + frames.length > this.#queueLimitBytes) return 'full'
    this.#sink.write(frames)
    this.lastWriteAt = at
    return 'sent'
  }

  /** A heartbeat without a position: proves that the link is alive. */
  writeComment(): void {
    this.write(COMMENT_FRAME)
  }

  /** Resolves when the queue is empty or the connection is gone. */
  async drained(): Promise<void> {
    if (this.#state !== 'closed') await this.#sink.drained()
  }

  /** Tells the reader why, and when to come back, and ends the stream. Bytes written before still arrive. Idempotent. */
  close(reason: CloseReason, retryMs: number): void {
    if (this.isEnded) return
    this.#endReason = reason
    this.#sink.end(encodeClose(reason, retryMs))
    this.#state = 'ending'
    this.#endingSince = this.#now()
  }

  /** True if its last bytes did not leave within `graceMs`. */
  isStuck(graceMs: number): boolean {
    return this.#state === 'ending' && this.#now() - this.#endingSince >= graceMs
  }

  /** Cuts the link at once. */
  destroy(): void {
    this.#sink.destroy()
  }

  /** To be called when the output closed. */
  markClosed(): void {
    this.#state = 'closed'
    this.pending = null
    this.goLive()
  }
}
