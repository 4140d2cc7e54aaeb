import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Http2SecureServer, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { WatchedSocket } from './watched-socket.js'

/** How long a socket may take, in ms, and how many may wait. */
export interface SocketLimits {
  /** For the TLS handshake, and then for the first request. */
  readonly firstRequestMs: number
  /** Until an HTTP/2 request is whole. Over HTTP/1.1 Node's `requestTimeout` holds. */
  readonly requestMs: number
  /** For an answer of which the peer takes no byte (slow read). */
  readonly unreadMs: number
  /** From one request to the next. */
  readonly idleMs: number
  /** Sockets without a first request; as many again may wait for their next one. */
  readonly maxWaiting: number
  /** Bytes of answers that wait for their peers, all together. */
  readonly maxUnreadBytes: number
}

/** A server that can be watched: `http.Server`, or `Http2SecureServer` with or without HTTP/1.1. */
export type WatchedServer = Server | Http2SecureServer

const SWEEP_MS = 1_000
const CLOSING_SWEEP_MS = 50
// Time for a socket once the server has closed: to send the request that it connected for, and to get its answer.
const CLOSING_FIRST_REQUEST_MS = 1_000
const CLOSING_ANSWER_MS = 3_000
// Node reads pipelined requests until an answer cannot leave at once, so one chunk of them could make 2,000 answers wait.
const MAX_PIPELINED = 256
const QUIET_WITHIN_MS = 500
const QUIET_TURN_MS = 0.1

/**
 * Bounds sockets without a stream on every protocol, in time and number. From its acceptance on, every socket of its servers is in one
 * state:
 *
 *   fresh   no request so far: TLS handshake, HTTP/2 preface, a half or no head   -> busy
 *   busy    requests that are not answered, or streams of events over HTTP/2      -> idle, given
 *   idle    every request was answered                                           -> busy
 *   given   an HTTP/1.1 socket that became a stream of events: only the end of the server ends it here
 *
 * Past `maxWaiting`, the oldest fresh or idle socket is destroyed: a flood evicts itself, and a peer that sends its request at once gets
 * through. Past `maxUnreadBytes`, the sockets with the most unread bytes go first.
 */
export class SocketWatch {
  readonly #limits: SocketLimits
  readonly #now: () => number
  readonly #servers = new Set<WatchedServer>()
  /** By the accepted socket, below TLS. */
  readonly #sockets = new Map<Socket, WatchedSocket>()
  /** In these three, the socket that came first has waited longest. */
  readonly #fresh = new Set<WatchedSocket>()
  readonly #busy = new Set<WatchedSocket>()
  readonly #idle = new Set<WatchedSocket>()
  #timer: NodeJS.Timeout | null = null
  #isLeaving = false
  /** `null` until `close()`. */
  #closedAt: number | null = null
  #accepted = 0
  #evicted = 0

  /** `now` is in ms, on a monotonic clock. */
  constructor(limits: SocketLimits, now: () => number = () => performance.now()) {
    this.#limits = limits
    this.#now = now
  }

  /** How many sockets were destroyed so far because too many waited. */
  get evicted(): number {
    return this.#evicted
  }

  /** Watches every socket of `server`; to be called before it listens. */
  watch(server: WatchedServer): void {
    this.#servers.add(server)
    server.once('listening', () => this.#sweepEvery(SWEEP_MS))
    server.once('close', () => {
      this.#servers.delete(server)
      if (this.#servers.size === 0 && this.#timer !== null) clearInterval(this.#timer)
    })
    server.on('connection', (raw: Socket) => this.#accept(raw))
    // This runs before Node's own listener, because that one makes the session.
    server.prependListener('secureConnection', (socket: Socket) => this.#restart(socket))
    server.on('session', (session: ServerHttp2Session) => this.#onSession(session))
  }

  /**
   * Watches a request; to be called for each one before it is answered. False: the request must be left alone, because its answer could not
   * leave the socket.
   */
  admit(request: IncomingMessage, answer: ServerResponse): boolean {
    // A session watches its own HTTP/2 requests.
    if (request.httpVersionMajor === 2) return true
    const socket = this.#sockets.get(rawOf(request.socket))
    if (socket === undefined || request.socket.destroyed) return false
    if (socket.answers.size >= MAX_PIPELINED) {
      this.#evict(socket)
      return false
    }
    if (this.#isLeaving && socket.hasAnnouncedEnd) return false
    this.#begin(socket)
    socket.answers.add(answer)
    if (this.#isLeaving) socket.announceEnd()
    answer.once('close', () => {
      socket.answers.delete(answer)
      // An answer that closed without an end left its socket to a stream, or the socket is gone.
      if (!answer.writableEnded) this.#busy.delete(socket)
      else if (!socket.hasRequest) this.#rest(socket)
    })
    return true
  }

  /**
   * Makes every answer from now on say that it is the last one on its socket. HTTP/2 sessions get GOAWAY, now or soon after
   * their first request, and finish the requests that they have. Idempotent.
   */
  leave(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    for (const socket of this.#busy) socket.announceEnd()
    for (const socket of this.#sockets.values()) socket.endSession()
  }

  /**
   * Stops listening. Idle sockets end now, requests under way are answered, and sockets that are left 3 s later are cut, so the servers'
   * `close` follows soon. Resolves when no socket is accepted any more. Idempotent.
   */
  async close(): Promise<void> {
    if (this.#closedAt !== null) return
    this.leave()
    if ([...this.#servers].some(server => server.listening)) await this.#untilQuiet()
    this.#closedAt = this.#now()
    for (const server of this.#servers) if (server.listening) server.close()
    for (const socket of this.#idle) this.#finish(socket)
    if (this.#servers.size > 0) this.#sweepEvery(CLOSING_SWEEP_MS)
  }

  /** Cuts every socket whose time is over. A timer calls it. */
  sweep(): void {
    const now = this.#now()
    const { firstRequestMs, requestMs, unreadMs, idleMs, maxUnreadBytes } = this.#limits
    for (const socket of olderThan(this.#fresh, now - firstRequestMs)) socket.destroy()
    for (const socket of olderThan(this.#idle, now - idleMs)) this.#end(socket)
    const unread: { socket: WatchedSocket; bytes: number }[] = []
    for (const socket of this.#busy) {
      const isHttp2 = socket.session !== null
      const bytes = isHttp2 ? socket.checkStreams(now, requestMs, unreadMs) : socket.checkAnswers(now, unreadMs)
      if (bytes > 0) unread.push({ socket, bytes })
      if (this.#isLeaving) socket.endSession()
    }
    this.#evictUnread(unread, maxUnreadBytes)
    if (this.#closedAt !== null) this.#cutRest(now, this.#closedAt)
  }

  #accept(raw: Socket): void {
    this.#accepted++
    const socket = new WatchedSocket(raw, this.#now())
    this.#sockets.set(raw, socket)
    raw.once('close', () => {
      this.#sockets.delete(raw)
      for (const state of [this.#fresh, this.#busy, this.#idle]) state.delete(socket)
    })
    this.#wait(this.#fresh, socket)
  }

  // The handshake is over: the time for the first request begins.
  #restart(secured: Socket): void {
    const socket = this.#sockets.get(rawOf(secured))
    if (socket === undefined || !this.#fresh.delete(socket)) return
    socket.since = this.#now()
    this.#fresh.add(socket)
  }

  #onSession(session: ServerHttp2Session): void {
    // Safe: a session that was just made has its socket.
    const socket = this.#sockets.get(rawOf(session.socket as Socket))
    if (socket === undefined) return
    socket.session = session
    session.prependListener('stream', (stream: ServerHttp2Stream) => {
      this.#begin(socket)
      socket.addStream(stream, this.#now())
      stream.once('close', () => {
        socket.removeStream(stream)
        if (!socket.hasRequest) this.#rest(socket)
      })
    })
  }

  #begin(socket: WatchedSocket): void {
    this.#fresh.delete(socket)
    this.#idle.delete(socket)
    this.#busy.add(socket)
  }

  #rest(socket: WatchedSocket): void {
    if (!this.#busy.delete(socket)) return
    socket.since = this.#now()
    this.#wait(this.#idle, socket)
    if (this.#closedAt !== null) this.#finish(socket)
  }

  #wait(state: Set<WatchedSocket>, socket: WatchedSocket): void {
    state.add(socket)
    const [oldest] = state
    if (state.size > this.#limits.maxWaiting && oldest !== undefined) this.#evict(oldest)
  }

  #evictUnread(unread: { socket: WatchedSocket; bytes: number }[], maxBytes: number): void {
    let total = unread.reduce((sum, { bytes }) => sum + bytes, 0)
    if (total <= maxBytes) return
    for (const { socket, bytes } of unread.sort((a, b) => b.bytes - a.bytes)) {
      if (total <= maxBytes) return
      this.#evict(socket)
      total -= bytes
    }
  }

  #evict(socket: WatchedSocket): void {
    this.#evicted++
    for (const state of [this.#fresh, this.#busy, this.#idle]) state.delete(socket)
    socket.destroy()
  }

  // An HTTP/2 session sends GOAWAY once, and ends its socket behind its last bytes.
  #finish(socket: WatchedSocket): void {
    if (socket.session === null) socket.destroy()
    else socket.endSession()
  }

  // A peer that did not end its socket after GOAWAY is cut.
  #end(socket: WatchedSocket): void {
    if (socket.session?.closed) socket.destroy()
    else this.#finish(socket)
  }

  // The server has closed: no socket may keep it from ending.
  #cutRest(now: number, closedAt: number): void {
    const isLate = now - closedAt >= CLOSING_ANSWER_MS
    for (const socket of this.#sockets.values()) {
      const isWaiting = !this.#busy.has(socket) && now - Math.max(closedAt, socket.since) >= CLOSING_FIRST_REQUEST_MS
      if (isLate) socket.destroy()
      else if (isWaiting) this.#end(socket)
    }
  }

  // When the server closes, the kernel resets the sockets in the listen queue, and their requests are lost. Node accepts one socket in each
  // turn, so a turn without one shows that the queue was empty. If that turn was short, hardly any socket has come since.
  async #untilQuiet(): Promise<void> {
    const deadline = this.#now() + QUIET_WITHIN_MS
    for (;;) {
      const before = this.#accepted
      const startedAt = this.#now()
      await nextTurn()
      const endedAt = this.#now()
      const isQuiet = this.#accepted === before && endedAt - startedAt < QUIET_TURN_MS
      if (isQuiet || endedAt >= deadline) return
    }
  }

  #sweepEvery(ms: number): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = setInterval(() => this.sweep(), ms).unref()
  }
}

// The oldest socket comes first, so the first one that is young enough ends the search.
function* olderThan(state: Iterable<WatchedSocket>, time: number): Iterable<WatchedSocket> {
  for (const socket of state) {
    if (socket.since > time) return
    yield socket
  }
}

// A TLS socket names the TCP socket below it, and so does the proxy that an HTTP/2 session gives of its socket.
function rawOf(socket: Socket): Socket {
  const below: unknown = Reflect.get(socket, '_parent')
  // Safe: only a socket is below a socket.
  return below === null || below === undefined ? socket : (below as Socket)
}
