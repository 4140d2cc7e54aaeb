import { AccessUnavailable } from '../failures.js'

// As long as an answer of Redis may take: an answer over HTTP must come within 2 s.
const WAIT_MS = 1_500

/**
 * Whether this replica knows what was revoked.
 *
 *   starting  it knows nothing, and cannot ask yet: it is not ready, and users' credentials wait
 *   behind    it is reading who was revoked, all of it or what it missed: meanwhile it asks about each user
 *   fresh     it knows; or it is cut off, and knows what was revoked before
 */
export class Freshness {
  #state: 'starting' | 'behind' | 'fresh'
  #hasLearned = false
  // Each looks whether it is fresh, and settles.
  readonly #waiting = new Set<() => void>()

  /** One that shares nothing with anybody is fresh from the start. */
  constructor(isShared: boolean) {
    this.#state = isShared ? 'starting' : 'fresh'
  }

  get isFresh(): boolean {
    return this.#state === 'fresh'
  }

  get isStarting(): boolean {
    return this.#state === 'starting'
  }

  /** Something may have been missed. */
  miss(): void {
    if (this.#state === 'fresh') this.#state = 'behind'
  }

  /** Redis answers: from now on each user can be asked about. */
  reach(): void {
    if (this.#state === 'starting') this.#state = 'behind'
    this.release()
  }

  /** What was missed is known. */
  learn(): void {
    this.#state = 'fresh'
    this.#hasLearned = true
    this.release()
  }

  /** It cannot be looked up now. Streams stay open while Redis is away, and new ones wait in them for its return. */
  cutOff(): void {
    // One that has not read everything once knows too little to go on without asking.
    if (this.#state === 'behind' && this.#hasLearned) this.learn()
  }

  /** Ends every wait now. */
  release(): void {
    for (const settle of [...this.#waiting]) settle()
  }

  /** Resolves when what was revoked is known, or can be asked. @throws AccessUnavailable  not within 1.5 s */
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
