import createError from '@fastify/error'

// Every mistake of a caller: code, message, HTTP status. What is broken here or behind is in failures.ts. A message names the value,
// the place and what is allowed: it is the only documentation its reader has open. docs/errors.md is made from the comments
// (scripts/errors-page.mjs --write), and a test fails without them: the text is the cause; @mend what to change; @retry never, after
// Retry-After, or same key, and in brackets where it is met (call: emit() and the like; other: any request); @also another status.

/**
 * A room is neither `*` nor 1-200 of the characters that the message lists. `user:` without an id is refused too.
 * @mend Rename the room. A user's own room is `user:<id>`.
 * @retry never (stream, publish, call)
 */
export const InvalidRoom = createError<[value: string, place: string]>(
  'TIDINGS_INVALID_ROOM',
  "room '%s' in %s must be 1-200 characters of A-Z a-z 0-9 _ . : @ / -",
  400,
)

/**
 * A user id cannot be part of the room `user:<id>`. The message names the place: path, body, `?user=`, `emit()`, or the
 * viewer that an embedding application's `authenticate` returned.
 * @mend Give users ids of the characters that the message lists; encode others.
 * @retry never (stream, publish, access, call)
 */
export const InvalidUser = createError<[value: string, place: string]>(
  'TIDINGS_INVALID_USER',
  "user id '%s' in %s must be 1-195 characters of A-Z a-z 0-9 _ . : @ / -",
  400,
)

/**
 * An event type is empty, has over 128 characters, starts with `stream.`, or has a control character, a line
 * separator or half of a surrogate pair.
 * @mend Rename the event type.
 * @retry never (publish, call)
 */
export const InvalidType = createError<[value: string, place: string]>(
  'TIDINGS_INVALID_TYPE',
  "type '%s' in %s must be 1-128 characters without control characters, and must not start with 'stream.'",
  400,
)

/**
 * An idempotency key is outside 1-200 printable ASCII characters. In a batch with the header `Idempotency-Key`, each item's
 * key is that header, `#` and the item's index: both together count.
 * @mend Shorten or encode the key; a hash of what it stands for will do.
 * @retry never (publish, call)
 */
export const InvalidKey = createError<[value: string, place: string]>(
  'TIDINGS_INVALID_KEY',
  "idempotency key '%s' in %s must be 1-200 printable ASCII characters",
  400,
)

/**
 * JSON cannot express the event's data: a function, a symbol, a BigInt or a cycle.
 * @mend Convert the data to plain values before you publish.
 * @retry never (call)
 */
export const InvalidData = createError<[place: string, why: string]>(
  'TIDINGS_INVALID_DATA',
  'data in %s must be a JSON value: %s',
  400,
)

/**
 * A request body is not what the route takes: no JSON, an empty batch, an unknown or wrong member, or data with over 128
 * levels. The message names the member, item or line.
 * @mend Send what `/openapi.json` describes for the route.
 * @retry never (publish, access)
 */
export const InvalidBody = createError<[place: string, why: string]>('TIDINGS_INVALID_BODY', '%s: %s', 400)

/**
 * One item of a batch is wrong in a way that has no code of its own, such as `null` in place of an event. Any other mistake
 * in an item keeps its own code and status. Either message names the item. Nothing of the batch was published.
 * @mend Mend the named item, then send the whole batch.
 * @retry never (call)
 */
export const InvalidItem = createError<[place: string, why: string]>(
  'TIDINGS_INVALID_ITEM',
  '%s: %s; nothing of this batch was published',
  400,
)

/**
 * A query parameter of `GET /v1/stream` is not what it takes: `rooms` was given twice, or `envelope` is no boolean.
 * @mend Send one comma-separated `rooms`, and `true` or `false` for `envelope`.
 * @retry never (stream)
 */
export const InvalidQuery = createError<[name: string, value: string, allowed: string]>(
  'TIDINGS_INVALID_QUERY',
  "query parameter %s is '%s' but must be %s",
  400,
)

/**
 * Fastify or the route refuses the request before its content counts: a stream request with a body or pipelined behind
 * another, a ticket's body that is no JSON, or a malformed path.
 * @mend Read the message: it says which part. A stream needs a connection of its own and no body.
 * @also 414 a name in the path has over 256 characters
 * @also 4xx the application's `authenticate` or `authorize` threw an error with this status
 * @retry never (stream, publish, access, other)
 */
export const InvalidRequest = createError<[why: string]>('TIDINGS_INVALID_REQUEST', '%s', 400)

/**
 * A text in the place of a ticket cannot be one. The message does not quote it: it may be another secret.
 * @mend Put the ticket into the path as `POST /v1/tickets` answered it.
 * @retry never (access)
 */
export const InvalidTicket = createError(
  'TIDINGS_INVALID_TICKET',
  "the ticket in the path must be 'tkt_' and 43 characters of A-Z a-z 0-9 _ -, as POST /v1/tickets answered it",
  400,
)

/**
 * A stream asks for more rooms than one connection may follow.
 * @mend Ask for fewer rooms, publish to rooms that more events share, or raise `MAX_ROOMS_PER_CONNECTION`.
 * @retry never (stream)
 */
export const TooManyRooms = createError<[asked: number, allowed: number]>(
  'TIDINGS_TOO_MANY_ROOMS',
  'rooms names %d rooms but one stream may follow at most %d (MAX_ROOMS_PER_CONNECTION)',
  400,
)

/**
 * The JSON text of an event's data is over `MAX_EVENT_BYTES`.
 * @mend Publish a reference that the page fetches, or raise `MAX_EVENT_BYTES`.
 * @retry never (publish, call)
 */
export const EventTooLarge = createError<[place: string, bytes: number, allowed: number]>(
  'TIDINGS_EVENT_TOO_LARGE',
  'data in %s has %d bytes but at most %d are allowed (MAX_EVENT_BYTES)',
  413,
)

/**
 * A request body is over the route's limit: `MAX_EVENT_BYTES` and 4 KiB for one event, 8 MiB for a batch, 64 KiB for a ticket.
 * @mend Send smaller events, or a batch in parts.
 * @retry never (publish, access)
 */
export const BodyTooLarge = createError<[allowed: number]>(
  'TIDINGS_BODY_TOO_LARGE',
  'the request body is over %d bytes; send smaller events (MAX_EVENT_BYTES) or fewer at once',
  413,
)

/**
 * A batch has over 1,000 events. Nothing of it was published.
 * @mend Split the batch. Each part is published whole or not at all, but one part may be published without the others.
 * @retry never (publish, call)
 */
export const BatchTooLarge = createError<[items: number, allowed: number]>(
  'TIDINGS_BATCH_TOO_LARGE',
  'the batch has at least %d events but at most %d may be published at once; nothing of it was published',
  413,
)

/**
 * An NDJSON batch has over 10,000 lines, blank ones included. Nothing of it was published.
 * @mend Leave blank lines out, or split the batch.
 * @retry never (publish)
 */
export const TooManyLines = createError<[allowed: number]>(
  'TIDINGS_BATCH_TOO_LARGE',
  'the batch has more than %d lines, blank ones included; send less at once; nothing of it was published',
  413,
)

/**
 * An item of a batch is longer than `MAX_EVENT_BYTES` and 4 KiB together. Nothing of the batch was published.
 * @mend Shorten the named item, or raise `MAX_EVENT_BYTES`.
 * @retry never (publish)
 */
export const ItemTooLarge = createError<[place: string, allowed: number, dataAllowed: number]>(
  'TIDINGS_EVENT_TOO_LARGE',
  '%s is longer than %d bytes, of which data may have %d (MAX_EVENT_BYTES); nothing of this batch was published',
  413,
)

/**
 * The gateway's own server has no such route. Embedded, the application answers this itself.
 * @mend Compare method and path with `/openapi.json`.
 * @retry never (other)
 */
export const NotFound = createError<[method: string, path: string, where: string]>(
  'TIDINGS_NOT_FOUND',
  'no route %s %s%s',
  404,
)

/**
 * The `Accept` header of a stream request does not take `text/event-stream`.
 * @mend Send `Accept: text/event-stream`, or no `Accept`.
 * @retry never (stream)
 */
export const NotAcceptable = createError<[accept: string]>(
  'TIDINGS_NOT_ACCEPTABLE',
  "Accept is '%s' but /v1/stream only produces text/event-stream",
  406,
)

/**
 * A request body has a media type that the route does not take.
 * @mend Send `Content-Type: application/json`; `POST /v1/events` takes `application/x-ndjson` too.
 * @retry never (publish, access)
 */
export const UnsupportedMediaType = createError<[type: string, allowed: string]>(
  'TIDINGS_UNSUPPORTED_MEDIA_TYPE',
  "Content-Type is '%s' but must be %s",
  415,
)

/**
 * The viewer may not follow a room that the stream asks for, or an API key may not act for the user in `?user=`. One such
 * room refuses the whole stream.
 * @mend Ask for that room no longer, or issue a token, ticket or API key whose patterns hold it.
 * @retry never (stream)
 */
export const FollowForbidden = createError<[user: string, room: string]>(
  'TIDINGS_FOLLOW_FORBIDDEN',
  "viewer '%s' may not follow room '%s'",
  403,
)

/**
 * The viewer may not publish to the room. Nothing of the request was published.
 * @mend Use an API key or a token whose publish patterns hold the room. A ticket never publishes.
 * @retry never (publish)
 */
export const PublishForbidden = createError<[user: string, room: string]>(
  'TIDINGS_PUBLISH_FORBIDDEN',
  "viewer '%s' may not publish to room '%s'",
  403,
)

/**
 * The request has no credential, or one that is malformed, unknown, expired, revoked or made for something else. The
 * message says which.
 * @mend Get a new token or ticket, or send the credential in the way that the message names.
 * @retry never (stream, publish, access)
 */
export const Unauthorized = createError<[why: string]>('TIDINGS_UNAUTHORIZED', '%s', 401)

/**
 * A browser's page of an origin that is not listed opens a stream, or changes something with a cookie or a remembered
 * password; so does a program that sends the cookie of `AUTH_COOKIE` without an `Origin`.
 * @mend List the page's origin in `CORS_ORIGINS`; to change something with `AUTH_COOKIE`, the gateway's own origin too. Behind a
 *   proxy, pass on the `Host` header of the browser.
 * @retry never (stream, publish, access)
 */
export const OriginForbidden = createError<[origin: string]>(
  'TIDINGS_ORIGIN_FORBIDDEN',
  "origin '%s' is not allowed here; list it in CORS_ORIGINS",
  403,
)

/**
 * The viewer may not make this ticket, or end this access: it is a user, or the user or room in question is outside its
 * patterns.
 * @mend Call it from your backend, with an API key whose patterns hold the user and the rooms. `DELETE /v1/connections/:id`
 *   needs a key without patterns.
 * @retry never (access)
 */
export const ManageForbidden = createError<[viewer: string, what: string]>(
  'TIDINGS_MANAGE_FORBIDDEN',
  "viewer '%s' may not %s; use an API key whose patterns allow it",
  403,
)

/**
 * No credentials are configured, and the request does not come from this machine, or came through a proxy.
 * @mend Configure a credential, or ask from this machine without a proxy: [the rules of open
 *   mode](security.md#who-is-let-in).
 * @retry never (stream, publish, access)
 */
export const OpenToLoopback = createError<[why: string]>(
  'TIDINGS_OPEN_TO_LOOPBACK',
  '%s, but while no credentials are configured only programs and browsers on this machine are served; set JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL or API_KEYS (an embedding application gives authenticate)',
  403,
)

/**
 * A publisher or viewer sent more events, rooms or streams in a window than its limit. Nothing of this request was published.
 * @mend Send less, or raise the variable that the message names.
 * @retry after Retry-After (stream, publish, access)
 */
export const RateLimited = createError<
  [limit: number, what: string, within: string, variable: string, who: string, retryS: number]
>('TIDINGS_RATE_LIMITED', "more than %d %s %s (%s) by '%s'; try again in %d s", 429)

/** A value fit for a message: cut short, control characters escaped. */
export function shown(value: string): string {
  const text = JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value)
  return text.slice(1, -1)
}
