import type { IncomingHttpHeaders } from 'node:http'

/**
 * True when a page of another site is behind the request, as far as its browser says so: an origin that is neither listed
 * nor this very host, or a cross-site request without an origin (an image, a link). Programs that are no browsers say nothing.
 */
export function isForeign(headers: IncomingHttpHeaders, host: string, listed: readonly string[]): boolean {
  const { origin } = headers
  if (origin === undefined) return headers['sec-fetch-site'] === 'cross-site'
  return !isOurs(origin, host, listed)
}

/**
 * True when a request that changes something could be the doing of a page of another site: a browser says that such a page
 * made it, and what it proves its user with is what browsers add by themselves, a cookie or a remembered password.
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
  // Another host of the same site (`same-site`) may be somebody else's as well.
  if (origin === undefined) return /^(cross|same)-site$/.test(String(headers['sec-fetch-site']))
  return !isOurs(origin, host, listed)
}

// Schemes whose credentials browsers remember and send along with any request.
const ADDED_BY_BROWSERS = /^(basic|digest|negotiate|ntlm)\b/i

function isOurs(origin: string, host: string, listed: readonly string[]): boolean {
  return listed.includes(origin) || origin === `http://${host}` || origin === `https://${host}`
}
