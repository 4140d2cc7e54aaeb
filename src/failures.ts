import createError from '@fastify/error'

// Everything that can be broken here or behind, and what cannot be run: code, message and HTTP status. Mistakes of callers are in
// errors.ts, with what the comments mean. Bodies of 5xx say nothing internal.

/**
 * The request bodies that are on their way hold more bytes than this publisher, or all together, may have now. Nothing was
 * published.
 * @mend Send fewer or smaller requests at once.
 * @retry after Retry-After (publish, access)
 */
export const BodiesTooLarge = createError<[who: string, heldBytes: number, allowed: number]>(
  'TIDINGS_BODIES_TOO_LARGE',
  "publisher '%s' has %d bytes of request bodies on the way, but at most %d are taken now; nothing was published, send fewer at once or try again",
  503,
)

/**
 * The keys that verify tokens cannot be fetched from `JWKS_URL`, and none was loaded before, or the token names an unknown one.
 * @mend Make the key server answer 200 with a JWK set. The gateway asks it at most once in 10 s, whatever `Retry-After` says.
 * @retry after Retry-After (stream, publish, access)
 */
export const KeysUnavailable = createError(
  'TIDINGS_KEYS_UNAVAILABLE',
  'the keys that tokens are verified with cannot be had now; try again',
  503,
)

/**
 * Redis does not answer about tickets and revocations, or this replica has just started and could not ask yet. A change whose
 * answer was lost may hold all the same. Repeating it is safe; a user's revocation then also refuses credentials made in
 * between.
 * @mend Mend Redis or the network to it; `/readyz` says what is wrong.
 * @retry after Retry-After (stream, publish, access)
 */
export const AccessUnavailable = createError<[why: string]>(
  'TIDINGS_ACCESS_UNAVAILABLE',
  'tickets and revocations cannot be reached (%s); nothing was changed, try again',
  503,
)

/**
 * Redis could not be reached, refused the write, or takes less than is being published. Nothing was published; an
 * emitter with `retryForMs` says that of its last try only.
 * @mend Mend Redis or the network to it; the brackets of the message say why.
 * @retry after Retry-After (publish, call)
 */
export const BusUnavailable = createError<[why: string]>(
  'TIDINGS_BUS_UNAVAILABLE',
  'the bus is unavailable (%s); nothing was published, try again',
  503,
)

/**
 * The publish was sent, but no answer came within 1.5 s, the connection died, or fewer than `REDIS_WAIT_REPLICAS` replicas
 * confirmed. The events may or may not have been published.
 * @mend Give each event an idempotency key and repeat it within 5 minutes: it is published once. Without a key it may be
 *   published twice.
 * @retry same key (publish, call)
 */
export const BusUncertain = createError<[why: string]>(
  'TIDINGS_BUS_UNCERTAIN',
  'the bus did not confirm (%s); the events may or may not have been published, repeat with the same key to be sure',
  503,
)

/**
 * The application publishes on a gateway or an emitter that it has closed.
 * @mend Publish before `close()`, or make a new one.
 * @retry never (call)
 */
export const Closed = createError<[what: string]>('TIDINGS_CLOSED', 'the %s is closed', 503)

/**
 * The configuration or the options cannot be run. The message lists every bad one by name, value and what is allowed.
 * @mend Mend what it lists. `tidings check-config` checks environment variables without a start.
 * @retry never (start)
 */
export const InvalidConfig = createError<[problems: string]>('TIDINGS_INVALID_CONFIG', '%s', 500)

/** Codes that are answered where nothing can be thrown, with their statuses: here for docs/errors.md only. */
export interface AnsweredCodes {
  /**
   * Something failed that the program did not foresee. The gateway's log says what, at `request failed`.
   * @mend Look at the log of the gateway; embedded, at `authenticate` and `authorize` first. Report it if it is Tidings.
   * @also 5xx the application's `authenticate` or `authorize` threw an error with this status
   * @retry same key (stream, publish, access, other)
   */
  readonly TIDINGS_INTERNAL: 500
  /**
   * The bytes on the connection are not an HTTP request. The connection is closed.
   * @mend Speak HTTP/1.1 to this port, or HTTPS where `TLS_CERT` is set.
   * @retry never (other)
   */
  readonly TIDINGS_MALFORMED_REQUEST: 400
  /**
   * The headers of an HTTP/1.1 request are over 16 KiB. The connection is closed.
   * @mend Send fewer or smaller cookies and headers.
   * @retry never (other)
   */
  readonly TIDINGS_HEADERS_TOO_LARGE: 431
}
