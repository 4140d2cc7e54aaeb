import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { Backlog } from './backlog.js'

/** Where the bytes of one connection leave. Takes every write at once; what the peer does not take waits here. */
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
 * The shortest way to this stream's peer: a plain socket's handle where Node lets us use it, else the stream itself. A peer that
 * has as many as `backedUpBytes` waiting counts as backed up.
 */
export function sinkOf(stream: Writable, backedUpBytes: number): Sink {
  const handle = handles === null ? null : handleOf(stream)
  // Safe: handleOf finds a handle in sockets only.
  return handle === null
    ? new StreamSink(stream, backedUpBytes)
    : new SocketSink(stream as Socket, handle, backedUpBytes)
}

/**
 * What can be written to like any stream: HTTP/2, TLS.
 *
 *   direct   the stream holds nothing, or is corked: a write goes to it
 *   waiting  the stream holds something and calls back when it is gone: what is written meanwhile waits in `#backlog`, because a
 *            stream keeps an object of its own for each write
 */
class StreamSink implements Sink {
  readonly #stream: Writable
  readonly #backedUpBytes: number
  #backlog: Backlog | null = null
  #isWaiting = false
  /** Counts the writes that are waited for. */
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

  // A stream says `drain` only past a mark of its own, which differs between versions of Node.
  #isLarge(frames: Buffer): boolean {
    return this.#stream.writableLength + frames.length >= this.#backedUpBytes
  }

  // The callback of the last one comes when all of them are gone, or the stream is.
  #writeAndWait(blocks: Buffer[]): void {
    this.#isWaiting = true
    const last = blocks.pop()!
    const turn = ++this.#turn
    // A corked stream says that it needs draining even when all of it leaves at once.
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

/**
 * A plain socket. The layers that Node has between `socket.write` and the system call cost a fifth of a delivery, and are
 * there for what hardly ever happens: that the kernel takes less than everything at once.
 *
 *   direct   nothing waits: a write goes to the handle, and leaves at once
 *   holding  something waits, and a write goes behind it: behind `left` bytes of the one write that the handle could not finish,
 *            or what the socket holds itself (at the beginning, its response head); `#rest` is null unless that is not enough
 */
class SocketSink implements Sink {
  readonly #socket: Socket
  readonly #handle: Handle
  readonly #backedUpBytes: number
  #rest: StreamSink | null = null
  #isHolding = true
  #left = 0
  #waiting: (() => void)[] | null = null

  constructor(socket: Socket, handle: Handle, backedUpBytes: number) {
    this.#socket = socket
    this.#handle = handle
    this.#backedUpBytes = backedUpBytes
  }

  write(frames: Buffer): void {
    if (this.#isHolding && this.queuedBytes === 0) {
      this.#isHolding = false
      this.#rest = null
    }
    if (this.#isHolding) this.#hold(frames)
    else if (this.#handle.writeBuffer(spare, frames) !== 0) this.#socket.destroy()
    // Safe: there is no SocketSink without handles.
    else if (handles!.state[handles!.asyncAt] !== 0) this.#wait(frames)
  }

  end(frames: Buffer): void {
    if (this.#rest === null) this.#socket.end(frames)
    else this.#rest.end(frames)
  }

  destroy(): void {
    this.#rest = null
    this.#socket.destroy()
  }

  get queuedBytes(): number {
    return this.#isHolding ? this.#left + (this.#rest?.queuedBytes ?? this.#socket.writableLength) : 0
  }

  get isBackedUp(): boolean {
    return this.#isHolding && (this.#left > 0 || (this.#rest?.isBackedUp ?? this.#socket.writableNeedDrain))
  }

  async drained(): Promise<void> {
    if (this.#left > 0) {
      this.#waiting ??= []
      const waiting = this.#waiting
      await new Promise<void>(resolve => waiting.push(resolve))
    }
    await (this.#rest ?? new StreamSink(this.#socket, this.#backedUpBytes)).drained()
  }

  #hold(frames: Buffer): void {
    if (this.#rest === null && isFree(this.#socket)) this.#socket.write(frames)
    else {
      this.#rest ??= new StreamSink(this.#socket, this.#backedUpBytes)
      this.#rest.write(frames)
    }
  }

  // The request that was spare until now belongs to this write until it is done, and keeps its bytes.
  #wait(frames: Buffer): void {
    const request = spare
    spare = new handles!.Request()
    this.#isHolding = true
    this.#left = this.#handle.writeQueueSize
    request.buffer = frames
    request.oncomplete = status => {
      this.#left = 0
      if (status < 0) this.#socket.destroy()
      for (const resolve of this.#waiting ?? []) resolve()
      this.#waiting = null
    }
  }
}

// What is written to a corked stream leaves together with what it holds.
function isFree(stream: Writable): boolean {
  return stream.writableLength === 0 || stream.writableCorked > 0
}

// What Node's own net.js works with: https://github.com/nodejs/node/blob/v20.x/lib/internal/stream_base_commons.js
interface Handle {
  /** 0, or an error number. With everything written at once the request stays unused. */
  writeBuffer(request: WriteRequest, bytes: Buffer): number
  readonly writeQueueSize: number
}
interface WriteRequest {
  buffer?: Buffer
  oncomplete?: (status: number) => void
}
interface Handles {
  readonly Request: new () => WriteRequest
  /** After a write, `state[asyncAt]` is not 0 if a part of it waits. */
  readonly state: ArrayLike<number>
  readonly asyncAt: number
}

const handles = loadHandles()
// Used again for every write that leaves at once.
let spare: WriteRequest = handles === null ? {} : new handles.Request()

// Not there: a Node that has closed this door, or runs with --permission. Everything works without, a little slower.
function loadHandles(): Handles | null {
  try {
    // Safe: everything is looked at before it is used.
    const load = Reflect.get(process, 'binding') as (name: string) => Record<string, unknown>
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = load.call(process, 'stream_wrap')
    if (typeof WriteWrap !== 'function' || !ArrayBuffer.isView(streamBaseState)) return null
    if (typeof kLastWriteWasAsync !== 'number') return null
    return {
      Request: WriteWrap as new () => WriteRequest,
      state: streamBaseState as Int32Array,
      asyncAt: kLastWriteWasAsync,
    }
  } catch {
    return null
  }
}

function handleOf(stream: Writable): Handle | null {
  if (!(stream instanceof Socket) || 'encrypted' in stream) return null
  const handle: unknown = Reflect.get(stream, '_handle')
  if (typeof handle !== 'object' || handle === null || !('writeQueueSize' in handle)) return null
  // Safe: what is called is there.
  return 'writeBuffer' in handle && typeof handle.writeBuffer === 'function' ? (handle as Handle) : null
}
