import type { CloseReason } from './stream/connection.js'

const RETRY_MIN_MS = 500
const RETRY_SPREAD_MS = 4_500

/** An age, give or take 20 %; 0 is for ever. */
export function jittered(ageMs: number): number {
  return ageMs === 0 ? Number.POSITIVE_INFINITY : ageMs * (0.8 + Math.random() * 0.4)
}

/**
 * When a reader should come back: spread, so that a closed replica's readers do not come back in one moment. Ages are spread
 * already, and a stream that ends for its age has a place to go to.
 */
export function retryDelayMs(reason: CloseReason): number {
  return reason === 'max-age' ? Math.random() * RETRY_MIN_MS : RETRY_MIN_MS + Math.random() * RETRY_SPREAD_MS
}
