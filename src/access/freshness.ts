import { AccessUnavailable } from '../failures.js'

// A request waits here as long as it would for Redis: its answer over HTTP must come within 2 s.
const WAIT_MS = 1_500

/**
 * Whether this replica knows all revocations.
 *
 *   starting  it knows none and cannot ask yet: it is not ready, and users' credentials wait
 *   behind    it reads all revocations, or those that it missed; meanwhile it asks about each user
 *   fresh     it knows all; or it is cut off, and knows those that were made before
 */
export class Freshness {
  #state: 'starting' | 'behind' | 'fresh'
  #hasLearned = false
  // Each waiting call settles when it is run.
  readonly #waiting = new Set<() => void>()

  /** A replica that shares its revocations with no other one is fresh from the start. */
  constructor(isShared: boolean) {
    this.#state = isShared ? 'starting' : 'fresh'
  }

  get isFresh(): boolean {
    return this.#state === 'fresh'
  }

  get isStarting(): boolean {
    return this.#state === 'starting'
  }

  /** Revocations may have been missed. */
  miss(): void {
    if (this.#state === 'fresh') this.#state = 'behind'
  }

  /** Redis answers: from now on each user can be asked about. */
  reach(): void {
    if (this.#state === 'starting') this.#state = 'behind'
    this.release()
  }

  /** All revocations were read. */
  learn(): void {
    this.#state = 'fresh'
    this.#hasLearned = true
    this.release()
  }

  /** The store cannot be asked now. Open streams stay open while Redis is away, and new ones wait for its return. */
  cutOff(): void {
    // A replica that has never read all revocations knows too little to go on without asking.
    if (this.#state === 'behind' && this.#hasLearned) this.learn()
  }

  /** Ends every wait now. */
  release(): void {
    for (const settle of [...this.#waiting]) settle()
  }

  /** Resolves when revocations are known or can be asked for. @throws AccessUnavailable  not within 1.5 s */
  async whenReached(): Promise<void> {
    if (!this.isStarting) return
    await new Promise<void>((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer)
        this.#waiting.delete(settle)
        if (!this.isStarting) resolve()
        else reject(new AccessUnavailable('what was revoked is not known yet'))
      }
      const timer = setTimeout(settle, WAIT_MS)
      this.#waiting.add(settle)
    })
  }
}
