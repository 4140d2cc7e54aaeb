import type { Writable } from 'node:stream'
import { Backlog } from './backlog.js'

/** Where the bytes of one connection leave. Takes every write at once; bytes that the peer does not take yet wait here. */
export interface Sink {
  /** Never throws: bytes for a peer that is gone are dropped, and the stream's `close` event tells. */
  write(frames: Buffer): void
  /** Ends the stream behind these bytes. */
  end(frames: Buffer): void
  /** Cuts the link at once. */
  destroy(): void
  /** Bytes that the kernel has not taken yet. */
  readonly queuedBytes: number
  /** True while the peer takes less than it is sent. */
  readonly isBackedUp: boolean
  /** Resolves when nothing keeps the next write from leaving, or when the link is gone. */
  drained(): Promise<void>
}

/**
 * Writes through a stream of Node: HTTP/2, TLS, or any other.
 *
 *   direct   the stream holds nothing, or is corked: a write goes to it
 *   waiting  the stream holds bytes and calls back when they are gone. Meanwhile writes go to `#backlog`, because a stream keeps an
 *            object for each write
 */
export class StreamSink implements Sink {
  readonly #stream: Writable
  readonly #backedUpBytes: number
  #backlog: Backlog | null = null
  #isWaiting = false
  /** Tells the callback of the newest write from older ones. */
  #turn = 0
  #waiting: (() => void)[] | null = null

  constructor(stream: Writable, backedUpBytes: number) {
    this.#stream = stream
    this.#backedUpBytes = backedUpBytes
  }

  write(frames: Buffer): void {
    if (this.#isWaiting) {
      this.#backlog ??= new Backlog()
      this.#backlog.push(frames)
    } else if (isFree(this.#stream) && !this.#isLarge(frames)) this.#stream.write(frames)
    else this.#writeAndWait([frames])
  }

  end(frames: Buffer): void {
    for (const block of this.#backlog?.takeAll() ?? []) this.#stream.write(block)
    this.#stream.end(frames)
  }

  destroy(): void {
    this.#backlog = null
    this.#stream.destroy()
  }

  get queuedBytes(): number {
    return this.#stream.writableLength + (this.#backlog?.byteLength ?? 0)
  }

  get isBackedUp(): boolean {
    return this.#stream.writableNeedDrain || this.queuedBytes >= this.#backedUpBytes
  }

  async drained(): Promise<void> {
    while (!this.#stream.destroyed && this.isBackedUp) await this.#change()
  }

  // A stream says `drain` only past its own high-water mark, which differs between versions of Node.
  #isLarge(frames: Buffer): boolean {
    return this.#stream.writableLength + frames.length >= this.#backedUpBytes
  }

  // The callback of the last block comes when all of them are gone, or the stream is closed.
  #writeAndWait(blocks: Buffer[]): void {
    this.#isWaiting = true
    const last = blocks.pop()!
    const turn = ++this.#turn
    // A corked stream says that it needs draining even if everything leaves at once.
    const isOne = blocks.length === 0
    if (!isOne) this.#stream.cork()
    for (const block of blocks) this.#stream.write(block)
    this.#stream.write(last, () => this.#goOn(turn))
    if (!isOne) this.#stream.uncork()
    // Gone already, though the callback is still to come: the next write need not wait for it.
    if (this.#stream.writableLength === 0) this.#isWaiting = false
  }

  #goOn(turn: number): void {
    if (turn !== this.#turn) return
    this.#isWaiting = false
    const blocks = this.#backlog?.takeAll() ?? []
    this.#backlog = null
    if (blocks.length > 0 && !this.#stream.destroyed && !this.#stream.writableEnded) this.#writeAndWait(blocks)
    for (const resolve of this.#waiting ?? []) resolve()
    this.#waiting = null
  }

  async #change(): Promise<void> {
    await new Promise<void>(resolve => {
      const done = () => {
        this.#stream.off('drain', done)
        this.#stream.off('close', done)
        resolve()
      }
      this.#stream.on('drain', done)
      this.#stream.on('close', done)
      this.#waiting ??= []
      this.#waiting.push(done)
    })
  }
}

/** True when a write leaves at once: what is written to a corked stream leaves together with what it holds. */
export function isFree(stream: Writable): boolean {
  return stream.writableLength === 0 || stream.writableCorked > 0
}
