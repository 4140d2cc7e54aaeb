import type { Viewer } from './viewer.js'

/** The viewer of a verified token. */
interface Remembered {
  readonly viewer: Viewer
  /** Ms of the monotonic clock. */
  readonly until: number
  readonly bytes: number
}

const MAX_TOKENS = 10_000
const MAX_BYTES = 16 * 1_048_576
// A token, and each of its patterns, takes this beside its characters. Measured with Node 20.
const TOKEN_BYTES = 400
const PATTERN_BYTES = 32

/** Viewers of the newest tokens that were verified: ten thousand of them, or as many as 16 MiB hold. */
export class RememberedTokens {
  readonly #byHash = new Map<string, Remembered>()
  #bytes = 0

  get size(): number {
    return this.#byHash.size
  }

  /** The viewer of a token that is still remembered at `now`, in ms of the monotonic clock. */
  find(hash: string, now: number): Viewer | undefined {
    const known = this.#byHash.get(hash)
    return known !== undefined && known.until > now ? known.viewer : undefined
  }

  remember(hash: string, viewer: Viewer, until: number): void {
    this.forget(hash)
    const bytes = sizeOf(viewer)
    this.#byHash.set(hash, { viewer, until, bytes })
    this.#bytes += bytes
    // The oldest go first: a map keeps the order of arrival.
    for (const oldest of this.#byHash.keys()) {
      if (this.#byHash.size <= MAX_TOKENS && this.#bytes <= MAX_BYTES) return
      this.forget(oldest)
    }
  }

  forget(hash: string): void {
    this.#bytes -= this.#byHash.get(hash)?.bytes ?? 0
    this.#byHash.delete(hash)
  }
}

// `{sub}` in a pattern was replaced by the user's id, so the patterns may be longer than the token.
function sizeOf({ userId, follow, publish }: Viewer): number {
  const sum = (patterns: readonly string[]) => patterns.reduce((bytes, { length }) => bytes + length + PATTERN_BYTES, 0)
  return TOKEN_BYTES + userId.length + sum(follow) + sum(publish)
}
