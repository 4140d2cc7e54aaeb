import type { IncomingHttpHeaders } from 'node:http'
import { Unauthorized } from '../errors.js'

/** The proof of who sends a request; never to be logged or quoted. */
export type Credential =
  | { readonly kind: 'bearer' | 'api-key' | 'cookie' | 'url-token' | 'ticket'; readonly secret: string }
  | { readonly kind: 'none' }

const TICKET_PLACE = 'the query parameter ticket'

/** Where credentials may stand. */
export interface CredentialPlaces {
  /** The cookie that may hold a JWT. */
  readonly cookie: string | undefined
  /** True where `?token=` and `?ticket=` count: on the stream, because EventSource cannot send headers. */
  readonly inUrl: boolean
  /** True if an application knows its own credentials, and only tickets are ours. */
  readonly isTicketOnly?: boolean
}

/**
 * Finds the one credential that counts. A credential that a program sends on purpose goes before the cookie, which a browser adds by itself.
 * A bad credential is never passed over for another one.
 * @throws Unauthorized  a credential is there, but malformed
 */
export function findCredential(
  headers: IncomingHttpHeaders,
  query: Readonly<Record<string, unknown>>,
  places: CredentialPlaces,
): Credential {
  if (places.isTicketOnly) {
    const { ticket } = places.inUrl ? query : {}
    return ticket === undefined ? { kind: 'none' } : { kind: 'ticket', secret: once(TICKET_PLACE, ticket) }
  }
  const { authorization } = headers
  if (authorization !== undefined) {
    const secret = /^Bearer +([^\s]+)$/i.exec(authorization)?.[1]
    if (secret === undefined) throw new Unauthorized("the Authorization header must be 'Bearer <token or API key>'")
    return { kind: 'bearer', secret }
  }
  const apiKey = headers['x-api-key']
  if (apiKey !== undefined) return { kind: 'api-key', secret: once('the header X-API-Key', apiKey) }
  if (places.inUrl) {
    if (query.ticket !== undefined) return { kind: 'ticket', secret: once(TICKET_PLACE, query.ticket) }
    if (query.token !== undefined) return { kind: 'url-token', secret: once('the query parameter token', query.token) }
  }
  const secret = places.cookie === undefined ? undefined : cookieOf(headers.cookie, places.cookie)
  return secret === undefined ? { kind: 'none' } : { kind: 'cookie', secret }
}

function once(place: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new Unauthorized(`${place} must be given once, and not be empty`)
  return value
}

// RFC 6265: pairs between semicolons; the first of a name is the most specific.
function cookieOf(header: string | undefined, name: string): string | undefined {
  for (const pair of header?.split(';') ?? []) {
    const equals = pair.indexOf('=')
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue
    const value = pair.slice(equals + 1).trim()
    const unquoted = value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
    return unquoted === '' ? undefined : unquoted
  }
  return undefined
}
