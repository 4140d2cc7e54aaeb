import type { Hub } from './hub.js'

// A flush that writes to fewer connections takes a few milliseconds at most.
const LARGE = 256
const MAX_PAUSE_MS = 100
// Large events to thousands of readers take longer than anybody else should wait: what is read from sockets and answered comes
// in between.
const STINT_MS = 50

/**
 * Decides when the hub writes its pending frames. A flush comes at the end of the turn of the event loop: what arrived together leaves in one
 * write a connection. A large one leaves as much time for everything else as the one before it took, so that fan-out takes no
 * more than half of the process, and what arrives meanwhile leaves in the same writes. One that takes long breaks off, and goes
 * on in the next turn.
 */
export class Flusher {
  readonly #hub: Hub
  readonly #now: () => number
  #isScheduled = false
  /** No large flush before this. */
  #pauseEndsAt = 0
  /** What the parts of a flush have taken that broke off. */
  #tookMs = 0

  /** `now` is ms of a monotonic clock. */
  constructor(hub: Hub, now: () => number) {
    this.#hub = hub
    this.#now = now
  }

  /** To be called when the hub may have pending frames. Idempotent. */
  schedule(): void {
    const { pendingCount } = this.#hub
    if (this.#isScheduled || pendingCount === 0) return
    this.#isScheduled = true
    const pauseMs = pendingCount < LARGE ? 0 : this.#pauseEndsAt - this.#now()
    if (pauseMs < 1) setImmediate(() => this.#flush())
    else setTimeout(() => this.#flush(), pauseMs)
  }

  #flush(): void {
    this.#isScheduled = false
    const startedAt = this.#now()
    this.#hub.flush(startedAt, () => this.#now() - startedAt >= STINT_MS)
    const endedAt = this.#now()
    this.#tookMs += endedAt - startedAt
    if (this.#hub.pendingCount > 0) {
      this.#isScheduled = true
      setImmediate(() => this.#flush())
      return
    }
    this.#pauseEndsAt = Math.max(this.#pauseEndsAt, endedAt + Math.min(this.#tookMs, MAX_PAUSE_MS))
    this.#tookMs = 0
  }
}
