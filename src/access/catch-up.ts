import type { Gateway } from '../gateway.js'
import type { Log } from '../log.js'
import type { Replicas } from '../replicas/replicas.js'
import { Freshness } from './freshness.js'
import type { RevocationStore } from './revocations.js'
import type { Seats } from './seats.js'

/** What a catch-up works with. */
export interface CatchUpOptions {
  readonly gateway: Gateway
  readonly revocations: RevocationStore
  readonly seats: Seats
  readonly replicas: Replicas
  readonly log: Log
}

const RETRY_MS = 1_000
// After a failover many replicas may put lost revocations back: this one looks at the first call, then once for all later ones.
const LOOK_AGAIN_MS = 10_000
const CHECKED_A_TURN = 1_000

/**
 * Looks up what this replica missed about access, and gives back what the store lost. It tries until it is done: a revoked
 * credential must not stay good here.
 *
 *   idle     nothing to look up, or `#retryTimer` waits after a failed look        -> running
 *   running  one look is under way                                                 -> again, idle
 *   again    one look is under way, and something was missed since it began        -> running
 *   closed   looks no more; from every state
 */
export class CatchUp {
  readonly #options: CatchUpOptions
  readonly #freshness: Freshness
  #state: 'idle' | 'running' | 'again' | 'closed' = 'idle'
  #retryTimer: NodeJS.Timeout | null = null
  /** The pause after a `lookUpSoon`, and whether it was called again meanwhile; `null` while there is none. */
  #pause: { readonly timer: NodeJS.Timeout; isDue: boolean } | null = null
  /** True while streams that use tickets must be looked up too. */
  #mustSyncSeats = false

  constructor(options: CatchUpOptions) {
    this.#options = options
    this.#freshness = new Freshness(options.revocations.isShared)
    if (this.#freshness.isStarting) options.gateway.holdReady('what was revoked is not known yet')
  }

  /** True while this replica knows of every user whether they were revoked. */
  get isFresh(): boolean {
    return this.#freshness.isFresh
  }

  /** As `Access.whenReached`. */
  whenReached(): Promise<void> {
    return this.#freshness.whenReached()
  }

  /** This replica may have missed something, and can look it up now. */
  miss(): void {
    this.#freshness.miss()
    this.#mustSyncSeats = true
    void this.#run()
  }

  /** From now on this replica may miss something, and cannot look it up. */
  cutOff(): void {
    this.#freshness.cutOff()
  }

  /** Another replica gave lost revocations back. */
  lookUpSoon(): void {
    if (this.#state === 'closed') return
    if (this.#pause !== null) {
      this.#pause.isDue = true
      return
    }
    void this.#run()
    this.#pause = { isDue: false, timer: setTimeout(() => this.#endPause(), LOOK_AGAIN_MS).unref() }
  }

  /** Ends every wait. Idempotent. */
  close(): void {
    this.#state = 'closed'
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    if (this.#pause !== null) clearTimeout(this.#pause.timer)
    this.#freshness.release()
  }

  #endPause(): void {
    const isDue = this.#pause?.isDue === true
    this.#pause = null
    if (isDue) this.lookUpSoon()
  }

  async #run(): Promise<void> {
    if (this.#state === 'running') this.#state = 'again'
    if (this.#state !== 'idle') return
    this.#state = 'running'
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    try {
      await this.#syncRevocations()
      await this.#syncSeats()
    } catch (error) {
      this.#retry(error)
    }
    if (this.#isOver()) return
    const mustRunAgain = this.#isMissing()
    this.#state = 'idle'
    if (mustRunAgain) void this.#run()
  }

  #isOver(): boolean {
    return this.#state === 'closed'
  }

  #isMissing(): boolean {
    return this.#state === 'again'
  }

  #retry(error: unknown): void {
    if (this.#isOver()) return
    this.#options.log.warn({ err: error }, 'revocations could not be looked up, trying again')
    this.#retryTimer = setTimeout(() => void this.#run(), RETRY_MS).unref()
  }

  async #syncRevocations(): Promise<void> {
    const { revocations, gateway, replicas, log } = this.#options
    if (this.#freshness.isStarting) {
      // Any question will do: once Redis answers, this replica can ask about each user.
      await revocations.ask('')
      this.#freshness.reach()
      gateway.holdReady(null)
    }
    const hasNews = await revocations.learn()
    // The next look learns what was missed while this one ran.
    if (!this.#isMissing()) this.#freshness.learn()
    if (hasNews) await this.#endRevoked()
    // A failover may have lost the newest revocations. Other replicas may have read the set without them, and must look again.
    if (!(await revocations.restore())) return
    replicas
      .ask({ kind: 'look-up-revocations' })
      .catch((error: unknown) => log.warn({ err: error }, 'telling of restored revocations failed'))
  }

  async #syncSeats(): Promise<void> {
    if (!this.#mustSyncSeats) return
    this.#mustSyncSeats = false
    try {
      await this.#options.seats.sync()
    } catch (error) {
      this.#mustSyncSeats = true
      throw error
    }
  }

  // The store does not tell which users are new, so every stream is checked. A turn checks a part, and events pass in between.
  async #endRevoked(): Promise<void> {
    const { gateway, revocations } = this.#options
    let checked = 0
    for (const connection of [...gateway.connections]) {
      if (revocations.known.covers(connection.userId, connection.issuedAt)) gateway.disconnect(connection, 'revoked')
      if (++checked % CHECKED_A_TURN === 0) await new Promise(resolve => setImmediate(resolve))
    }
  }
}
