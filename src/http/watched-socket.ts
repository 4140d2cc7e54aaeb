import type { ServerResponse } from 'node:http'
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'

/** How far an HTTP/2 request has come. */
interface Progress {
  readonly since: number
  /** Bytes of the answer that waited at the last check. */
  waiting: number
  /** When `waiting` was last 0, or last changed. */
  waitingSince: number
  isCancelled: boolean
}

/**
 * One accepted TCP socket with its unfinished requests: `answers` over HTTP/1.1, `#streams` over HTTP/2. Both are empty while it has none.
 * Times are those of the caller's clock, in ms.
 */
export class WatchedSocket {
  /** Answers that are not finished; several when requests were pipelined. The last one answers the newest request. */
  readonly answers = new Set<ServerResponse>()
  session: ServerHttp2Session | null = null
  /** How many HTTP/2 requests are open, streams of events included. */
  openStreams = 0
  /** When it began to wait for its first request, or its next one. */
  since: number
  readonly #raw: Socket
  readonly #streams = new Map<ServerHttp2Stream, Progress>()
  #taken = -1
  #takenAt = 0

  constructor(raw: Socket, now: number) {
    this.#raw = raw
    this.since = now
  }

  get hasRequest(): boolean {
    return this.answers.size > 0 || this.openStreams > 0
  }

  /** Watches an HTTP/2 request from now on. */
  addStream(stream: ServerHttp2Stream, now: number): void {
    this.openStreams++
    this.#streams.set(stream, { since: now, waiting: 0, waitingSince: now, isCancelled: false })
  }

  /** An HTTP/2 request is over. */
  removeStream(stream: ServerHttp2Stream): void {
    this.openStreams--
    this.#streams.delete(stream)
  }

  /**
   * Cancels HTTP/2 requests whose last byte did not come within `requestMs`, and answers of which the peer took no byte for
   * `unreadMs`. Streams of events have rules of their own. Returns how many bytes of answers wait for the peer.
   */
  checkStreams(now: number, requestMs: number, unreadMs: number): number {
    let unread = 0
    for (const [stream, progress] of this.#streams) {
      if (isEventStream(stream)) {
        this.#streams.delete(stream)
        continue
      }
      // The peer may read its socket and keep the flow-control window of this stream closed, so each stream is checked alone.
      const waiting = stream.bufferSize
      if (waiting === 0 || waiting !== progress.waiting) progress.waitingSince = now
      progress.waiting = waiting
      unread += waiting
      const isLate = now - progress.since >= requestMs && isUnfinished(stream)
      if (!isLate && now - progress.waitingSince < unreadMs) continue
      // A reset that cannot be sent leaves the stream open, so the next check destroys the stream.
      if (progress.isCancelled) stream.destroy()
      else stream.close(constants.NGHTTP2_CANCEL)
      progress.isCancelled = true
    }
    return unread
  }

  /**
   * Cuts the socket when its peer has taken nothing of its HTTP/1.1 answers for `unreadMs`. Returns how many bytes of them wait.
   */
  checkAnswers(now: number, unreadMs: number): number {
    // The handle is null once the socket is closed. `socket.bytesWritten` counts bytes given to the socket, not bytes that the peer took.
    const handle: unknown = Reflect.get(this.#raw, '_handle')
    if (typeof handle !== 'object' || handle === null) return 0
    const waiting = Number(Reflect.get(handle, 'writeQueueSize'))
    const taken = Number(Reflect.get(handle, 'bytesWritten')) - waiting
    if (!(waiting > 0) || taken !== this.#taken) this.#takenAt = now
    this.#taken = taken
    if (!(waiting > 0)) return 0
    if (now - this.#takenAt >= unreadMs) this.destroy()
    // The first answer's count may include bytes of the handle's queue, so the larger count is returned, not the sum.
    let unread = 0
    for (const answer of this.answers) unread += answer.writableLength
    return Math.max(waiting, unread)
  }

  /** True once an answer with `Connection: close` was begun. */
  get hasAnnouncedEnd(): boolean {
    return [...this.answers].some(answer => answer.headersSent && answer.getHeader('connection') === 'close')
  }

  /** Makes the newest answer say that it is the last one on this socket. */
  announceEnd(): void {
    const newest = [...this.answers].at(-1)
    for (const answer of this.answers) {
      if (answer.headersSent) continue
      // Node sends no pipelined answer behind one with `Connection: close`.
      if (answer === newest) answer.setHeader('connection', 'close')
      else answer.removeHeader('connection')
    }
  }

  /** Sends GOAWAY: the session takes no more requests, and its socket ends behind the last one. */
  endSession(): void {
    if (this.session !== null && !this.session.closed && !this.session.destroyed) this.session.close()
  }

  destroy(): void {
    this.#raw.destroy()
  }
}

// An ended stream is an answer like any other: the peer must take it.
function isEventStream(stream: ServerHttp2Stream): boolean {
  if (!stream.headersSent || stream.writableEnded) return false
  return String(stream.sentHeaders?.['content-type']).startsWith('text/event-stream')
}

// A body that has arrived but was not read yet is no fault of the peer.
function isUnfinished(stream: ServerHttp2Stream): boolean {
  return !stream.endAfterHeaders && !stream.readableEnded && stream.state.remoteClose !== 1
}
