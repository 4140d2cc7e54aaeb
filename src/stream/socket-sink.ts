import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { isFree, type Sink, StreamSink } from './sink.js'

/**
 * The shortest way to this stream's peer: the handle of a plain socket where Node lets us use it, else the stream itself. With
 * `backedUpBytes` or more waiting, the peer counts as backed up.
 */
export function sinkOf(stream: Writable, backedUpBytes: number): Sink {
  const handle = handles === null ? null : handleOf(stream)
  // Safe: handleOf finds a handle in sockets only.
  return handle === null
    ? new StreamSink(stream, backedUpBytes)
    : new SocketSink(stream as Socket, handle, backedUpBytes)
}

/**
 * Writes straight to the handle of a plain socket. Node's layers between `socket.write` and the system call cost a fifth of a delivery,
 * and serve a rare case: the kernel takes only a part of the bytes.
 *
 *   direct   nothing waits: a write goes to the handle, and leaves at once
 *   holding  bytes wait: `#left` of the one write that the handle could not finish, or those that the socket holds itself (at first,
 *            its response head). Later writes go behind them, to the socket or to `#rest`, which is null until it is needed
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

  // The spare request belongs to this write until it is done, and keeps its bytes alive.
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

// The interface that Node's own net.js works with: https://github.com/nodejs/node/blob/v20.x/lib/internal/stream_base_commons.js
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
// Every write that leaves at once uses this one again.
let spare: WriteRequest = handles === null ? {} : new handles.Request()

// Null if Node has closed this door, or runs with --permission. Everything works without it, a little slower.
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
