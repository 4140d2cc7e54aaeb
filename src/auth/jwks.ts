import { createLocalJWKSet, errors, type JWSHeaderParameters, type JWTVerifyGetKey } from 'jose'
import { KeysUnavailable } from '../failures.js'

/** Keys are fetched again after this long; the old ones serve meanwhile. */
const MAX_AGE_MS = 600_000
/** Tokens with an unknown key cause at most one request to the key server in this time. */
const COOLDOWN_MS = 10_000
const TIMEOUT_MS = 5_000

/** Why a URL cannot be a key server's, without quoting it; `null` if it can. */
export function keyServerProblem(url: string): string | null {
  if (!URL.canParse(url)) return 'is no URL'
  const { username, password } = new URL(url)
  // A password would stand in error messages, and `fetch` refuses such a URL anyway.
  return username === '' && password === '' ? null : 'holds a user or password, which a key server must not need'
}

/** Where keys come from, and who hears of problems. */
export interface RemoteKeysOptions {
  readonly url: string
  readonly onProblem: (error: unknown) => void
  /** Ms on a monotonic clock. */
  readonly now?: () => number
}

/**
 * The public keys that an issuer publishes (RFC 7517).
 *
 *   empty   no keys so far: a use fetches them, at most once in `COOLDOWN_MS`
 *   loaded  serves its keys; fetches again in the background after `MAX_AGE_MS`, and before an answer for an unknown `kid`. A failure
 *           leaves the old keys in place
 */
export class RemoteKeys {
  readonly #options: RemoteKeysOptions
  readonly #now: () => number
  #keys: JWTVerifyGetKey | null = null
  #loadedAt = Number.NEGATIVE_INFINITY
  #askedAt = Number.NEGATIVE_INFINITY
  #loading: Promise<void> | null = null

  constructor(options: RemoteKeysOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** Loads the keys in the background, so that the first viewer does not wait for them. */
  warmUp(): void {
    this.#load().catch(() => {})
  }

  /**
   * The key that a token names.
   * @throws KeysUnavailable           the keys cannot be fetched now, and no loaded key fits
   * @throws errors.JWKSNoMatchingKey  the issuer published no such key at the last fetch
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (this.#keys === null) {
      if (this.#loading === null && !this.#mayAsk()) throw new KeysUnavailable()
      await this.#load()
    } else if (this.#now() - this.#loadedAt > MAX_AGE_MS && this.#mayAsk()) this.warmUp()
    try {
      return await this.#keys!(header, token)
    } catch (error) {
      const isWorthAsking = error instanceof errors.JWKSNoMatchingKey && hasKeyId(header)
      if (!isWorthAsking || (this.#loading === null && !this.#mayAsk())) throw error
      await this.#load()
      return this.#keys!(header, token)
    }
  }

  #mayAsk(): boolean {
    return this.#now() - this.#askedAt >= COOLDOWN_MS
  }

  // Concurrent callers share one request.
  #load(): Promise<void> {
    this.#askedAt = this.#now()
    this.#loading ??= this.#fetch().finally(() => {
      this.#loading = null
    })
    return this.#loading
  }

  async #fetch(): Promise<void> {
    try {
      const response = await fetch(this.#options.url, {
        headers: { accept: 'application/jwk-set+json, application/json' },
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      if (response.status !== 200) throw new Error(`the key server answered ${response.status}`)
      // Safe: createLocalJWKSet checks the shape and throws.
      this.#keys = createLocalJWKSet((await response.json()) as Parameters<typeof createLocalJWKSet>[0])
      this.#loadedAt = this.#now()
    } catch (error) {
      const problem = new Error(reasonOf(error).replaceAll(this.#options.url, 'the key server'))
      this.#options.onProblem(problem)
      const unavailable = new KeysUnavailable()
      unavailable.cause = problem
      throw unavailable
    }
  }
}

function hasKeyId(header: JWSHeaderParameters | undefined): boolean {
  return typeof header?.kid === 'string'
}

// The error and its causes, in words. A parser's own message would quote the beginning of an answer that is no JSON.
function reasonOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'the key server answered something that is no JSON'
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${reasonOf(error.cause)}` : error.message
}
