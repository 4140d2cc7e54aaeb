import type { IncomingHttpHeaders } from 'node:http'

/**
 * True when a page of another site is behind the request, as far as its browser says so: an origin that is neither listed
 * nor this very host, or a cross-site request without an origin (an image, a link). Programs that are no browsers say nothing.
 */
export function isForeign(headers: IncomingHttpHeaders, host: string, listed: readonly string[]): boolean {
  const { origin } = headers
  if (origin === undefined) return headers['sec-fetch-site'] === 'cross-site'
  return !listed.includes(origin) && origin !== `http://${host}` && origin !== `https://${host}`
}
