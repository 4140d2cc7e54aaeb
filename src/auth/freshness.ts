import { AccessUnavailable } from '../errors.js'

// As long as an answer of Redis may take: an answer over HTTP must come within 2 s.
const WAIT_MS = 1_500

/**
 * Whether this replica knows what was revoked.
 *
 *   starting  it never did: it is not ready, and users' credentials wait
 *   behind    it did, but has missed something since and is looking it up: users' credentials wait
 *   fresh     it does; or it is cut off, and knows what was revoked before
 */
export class Freshness {
  #state: 'starting' | 'behind' | 'fresh'
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

  /** What was missed is known. */
  learn(): void {
    this.#state = 'fresh'
    this.release()
  }

  /** It cannot be looked up now. Streams stay open while Redis is away, and new ones wait in them for its return. */
  cutOff(): void {
    if (this.#state === 'behind') this.learn()
  }

  /** Ends every wait now. */
  release(): void {
    for (const settle of [...this.#waiting]) settle()
  }

  /** Resolves when what was revoked is known. @throws AccessUnavailable  not within 1.5 s */
  async whenFresh(): Promise<void> {
    if (this.isFresh) return
    await new Promise<void>((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer)
        this.#waiting.delete(settle)
        if (this.isFresh) resolve()
        else reject(new AccessUnavailable('what was revoked is not known yet'))
      }
      const timer = setTimeout(settle, WAIT_MS)
      this.#waiting.add(settle)
    })
  }
}
