import type { IncomingHttpHeaders } from 'node:http'

/**
 * True when a page of another site is behind the request, as far as its browser says so: an origin that is neither listed
 * nor this very host, or a cross-site request without an origin (an image, a link). Other programs send no such headers.
 */
export function isForeign(headers: IncomingHttpHeaders, host: string, listed: readonly string[]): boolean {
  const { origin } = headers
  if (origin === undefined) return headers['sec-fetch-site'] === 'cross-site'
  return !isOurs(origin, host, listed)
}

/**
 * True if a request that changes something may be forged by a page of another site (CSRF): a browser says that such a page made it, and its
 * proof is one that browsers add by themselves, a cookie or a remembered password.
 */
export function isForged(
  method: string,
  headers: IncomingHttpHeaders,
  host: string,
  listed: readonly string[],
): boolean {
  if (method === 'GET' || method === 'HEAD') return false
  const { authorization, cookie, origin } = headers
  const isDeliberate = headers['x-api-key'] !== undefined || (authorization && !ADDED_BY_BROWSERS.test(authorization))
  if (isDeliberate || (authorization === undefined && cookie === undefined)) return false
  // Another host of the same site (`same-site`) may belong to somebody else, too.
  if (origin === undefined) return /^(cross|same)-site$/.test(String(headers['sec-fetch-site']))
  return !isOurs(origin, host, listed)
}

// Schemes whose credentials browsers remember and send along with any request.
const ADDED_BY_BROWSERS = /^(basic|digest|negotiate|ntlm)\b/i

function isOurs(origin: string, host: string, listed: readonly string[]): boolean {
  return listed.includes(origin) || origin === `http://${host}` || origin === `https://${host}`
}
