import type { Hub } from './hub.js'

// A flush that writes to fewer connections takes a few milliseconds at most.
const LARGE = 256
const MAX_PAUSE_MS = 100
// Large events to thousands of readers take longer than other work should wait. Requests are read and answered between two stints.
const STINT_MS = 50

/**
 * Decides when the hub writes its pending frames: at the end of the turn of the event loop, so that events which arrived together leave
 * in one write for each connection. After a large flush the next large one waits for as long as this one took. So fan-out takes at
 * most half of the process, and events that arrive meanwhile share the next writes. A flush that takes long breaks off and goes on in
 * the next turn.
 *
 *   idle       nothing is scheduled
 *   scheduled  a flush comes at the end of this turn, when the pause is over, or in the next turn because the last one broke off
 */
export class Flusher {
  readonly #hub: Hub
  readonly #now: () => number
  #isScheduled = false
  /** No large flush before this. */
  #pauseEndsAt = 0
  /** Time that the parts of a broken-off flush have taken so far. */
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
