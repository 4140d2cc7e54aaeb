import createError from '@fastify/error'

// Every error Tidings raises on purpose: code, message and HTTP status. A message names the value, the place and
// what is allowed, because it is the only documentation its reader has open. Bodies of 5xx say nothing internal.

/** A room name that breaks the rules of `isRoom`. */
export const InvalidRoom = createError<[value: string, place: string]>(
  'TIDINGS_INVALID_ROOM',
  "room '%s' in %s must be 1-200 characters of A-Z a-z 0-9 _ . : @ / -",
  400,
)

/** A user id that cannot be part of the room `user:<id>`. */
export const InvalidUser = createError<[value: string, place: string]>(
  'TIDINGS_INVALID_USER',
  "user id '%s' in %s must be 1-195 characters of A-Z a-z 0-9 _ . : @ / -",
  400,
)

/** An event type that is missing, too long, reserved or could break a frame. */
export const InvalidType = createError<[value: string, place: string]>(
  'TIDINGS_INVALID_TYPE',
  "type '%s' in %s must be 1-128 characters without control characters, and must not start with 'stream.'",
  400,
)

/** An idempotency key outside 1-200 printable ASCII characters. */
export const InvalidKey = createError<[value: string, place: string]>(
  'TIDINGS_INVALID_KEY',
  "idempotency key '%s' in %s must be 1-200 printable ASCII characters",
  400,
)

/** Event data that JSON cannot express. */
export const InvalidData = createError<[place: string, why: string]>(
  'TIDINGS_INVALID_DATA',
  'data in %s must be a JSON value: %s',
  400,
)

/** A body that is not what the route takes. */
export const InvalidBody = createError<[place: string, why: string]>('TIDINGS_INVALID_BODY', '%s: %s', 400)

/** One item of a batch is wrong; nothing of the batch was published. */
export const InvalidItem = createError<[place: string, why: string]>(
  'TIDINGS_INVALID_ITEM',
  '%s: %s; nothing of this batch was published',
  400,
)

/** A query parameter that is not what the route takes. */
export const InvalidQuery = createError<[name: string, value: string, allowed: string]>(
  'TIDINGS_INVALID_QUERY',
  "query parameter %s is '%s' but must be %s",
  400,
)

/** A request that fails its schema. */
export const InvalidRequest = createError<[why: string]>('TIDINGS_INVALID_REQUEST', '%s', 400)

/** A text in the place of a ticket that cannot be one. It is not quoted: it may be another secret. */
export const InvalidTicket = createError(
  'TIDINGS_INVALID_TICKET',
  "the ticket in the path must be 'tkt_' and 43 characters of A-Z a-z 0-9 _ -, as POST /v1/tickets answered it",
  400,
)

/** More rooms asked for than one connection may follow. */
export const TooManyRooms = createError<[asked: number, allowed: number]>(
  'TIDINGS_TOO_MANY_ROOMS',
  'rooms names %d rooms but one stream may follow at most %d (MAX_ROOMS_PER_CONNECTION)',
  400,
)

/** An event over the byte limit. */
export const EventTooLarge = createError<[place: string, bytes: number, allowed: number]>(
  'TIDINGS_EVENT_TOO_LARGE',
  'data in %s has %d bytes but at most %d are allowed (MAX_EVENT_BYTES)',
  413,
)

/** A request body over the byte limit. */
export const BodyTooLarge = createError<[allowed: number]>(
  'TIDINGS_BODY_TOO_LARGE',
  'the request body is over %d bytes; send smaller events (MAX_EVENT_BYTES) or fewer at once',
  413,
)

/** A batch over the item limit. */
export const BatchTooLarge = createError<[items: number, allowed: number]>(
  'TIDINGS_BATCH_TOO_LARGE',
  'the batch has at least %d events but at most %d may be published at once; nothing of it was published',
  413,
)

/** NDJSON with too many lines, blank ones among them. */
export const TooManyLines = createError<[allowed: number]>(
  'TIDINGS_BATCH_TOO_LARGE',
  'the batch has more than %d lines, blank ones included; send less at once; nothing of it was published',
  413,
)

/** An item of a batch that is too long to hold an event within the limit. */
export const ItemTooLarge = createError<[place: string, allowed: number, dataAllowed: number]>(
  'TIDINGS_EVENT_TOO_LARGE',
  '%s is longer than %d bytes, of which data may have %d (MAX_EVENT_BYTES); nothing of this batch was published',
  413,
)

/** No such route. */
export const NotFound = createError<[method: string, path: string, where: string]>(
  'TIDINGS_NOT_FOUND',
  'no route %s %s%s',
  404,
)

/** The client refuses the stream's media type. */
export const NotAcceptable = createError<[accept: string]>(
  'TIDINGS_NOT_ACCEPTABLE',
  "Accept is '%s' but /v1/stream only produces text/event-stream",
  406,
)

/** The request body has a media type the route does not take. */
export const UnsupportedMediaType = createError<[type: string, allowed: string]>(
  'TIDINGS_UNSUPPORTED_MEDIA_TYPE',
  "Content-Type is '%s' but must be %s",
  415,
)

/** The viewer may not follow a room. */
export const FollowForbidden = createError<[user: string, room: string]>(
  'TIDINGS_FOLLOW_FORBIDDEN',
  "viewer '%s' may not follow room '%s'",
  403,
)

/** The viewer may not publish to a room. */
export const PublishForbidden = createError<[user: string, room: string]>(
  'TIDINGS_PUBLISH_FORBIDDEN',
  "viewer '%s' may not publish to room '%s'",
  403,
)

/** No credential, or one that nobody here can verify. */
export const Unauthorized = createError<[why: string]>('TIDINGS_UNAUTHORIZED', '%s', 401)

/** A page of an origin that is not listed. */
export const OriginForbidden = createError<[origin: string]>(
  'TIDINGS_ORIGIN_FORBIDDEN',
  "origin '%s' is not allowed here; list it in CORS_ORIGINS",
  403,
)

/** A route for servers was called by somebody else, or outside a key's patterns. */
export const ManageForbidden = createError<[viewer: string, what: string]>(
  'TIDINGS_MANAGE_FORBIDDEN',
  "viewer '%s' may not %s; use an API key whose patterns allow it",
  403,
)

/** Without credentials configured only this machine is served. */
export const OpenToLoopback = createError<[why: string]>(
  'TIDINGS_OPEN_TO_LOOPBACK',
  '%s, but while no credentials are configured only programs and browsers on this machine are served; set JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL or API_KEYS (an embedding application gives authenticate)',
  403,
)

/** More events, rooms or streams than a publisher or viewer may have in a window. */
export const RateLimited = createError<
  [limit: number, what: string, within: string, variable: string, who: string, retryS: number]
>('TIDINGS_RATE_LIMITED', "more than %d %s %s (%s) by '%s'; try again in %d s", 429)

/** More bytes of request bodies at once than one publisher, or all of them, may have on the way. */
export const BodiesTooLarge = createError<[who: string, heldBytes: number, allowed: number]>(
  'TIDINGS_BODIES_TOO_LARGE',
  "publisher '%s' has %d bytes of request bodies on the way, but at most %d are taken now; nothing was published, send fewer at once or try again",
  503,
)

/** The issuer's keys are not known yet and cannot be had now. */
export const KeysUnavailable = createError(
  'TIDINGS_KEYS_UNAVAILABLE',
  'the keys that tokens are verified with cannot be had now; try again',
  503,
)

/** What replicas share about access cannot be reached; nothing was changed. */
export const AccessUnavailable = createError<[why: string]>(
  'TIDINGS_ACCESS_UNAVAILABLE',
  'tickets and revocations cannot be reached (%s); nothing was changed, try again',
  503,
)

/** The bus could not take the events: nothing was published. */
export const BusUnavailable = createError<[why: string]>(
  'TIDINGS_BUS_UNAVAILABLE',
  'the bus is unavailable (%s); nothing was published, try again',
  503,
)

/** The bus went away with the answer: the events may or may not have been published. */
export const BusUncertain = createError<[why: string]>(
  'TIDINGS_BUS_UNCERTAIN',
  'the bus did not confirm (%s); the events may or may not have been published, repeat with the same key to be sure',
  503,
)

/** A call to something that was closed before. */
export const Closed = createError<[what: string]>('TIDINGS_CLOSED', 'the %s is closed', 503)

/** Configuration that cannot be run; the message lists every bad variable. */
export const InvalidConfig = createError<[problems: string]>('TIDINGS_INVALID_CONFIG', '%s', 500)

/** A value fit for a message: cut short, control characters escaped. */
export function shown(value: string): string {
  const text = JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value)
  return text.slice(1, -1)
}
