import type { IncomingHttpHeaders } from 'node:http'

/** The parts of a request that tell where it came from. */
export interface Arrival {
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, each line by itself. */
  readonly rawHeaders: readonly string[]
  readonly httpVersion: string
  /** The request target as it was sent. */
  readonly url?: string | undefined
  /** The two ends of its connection; unknown on a Unix socket, which only this machine can reach. */
  readonly socket: { readonly localAddress?: string | undefined; readonly remoteAddress?: string | undefined }
}

// Headers that proxies add to requests, beside `X-Forwarded-*`.
const PROXY_HEADERS = [
  'forwarded',
  'via',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-original-forwarded-for',
  'x-original-host',
  'x-envoy-external-address',
  'x-amzn-trace-id',
  'true-client-ip',
  'fastly-client-ip',
  'cf-connecting-ip',
  'cdn-loop',
]

/**
 * Why a request does not count as made on this machine for a name of this machine, in words; `null` if it does. A proxy on this
 * machine connects from loopback for the whole world, and a page of any site can give its own name the address 127.0.0.1 (DNS rebinding).
 * So the headers count as much as the connection. Pages of `listed` origins are welcome.
 */
export function outsiderMark(arrival: Arrival, listed: readonly string[]): string | null {
  const { headers, socket } = arrival
  for (const address of [socket.localAddress, socket.remoteAddress]) {
    if (address !== undefined && !isLoopback(address.replace(/^::ffff:/, ''))) {
      return 'the connection is not between loopback addresses'
    }
  }
  for (const name of Object.keys(headers)) {
    if (name.startsWith('x-forwarded') || PROXY_HEADERS.includes(name)) {
      return `the request came through a proxy (it has the header ${name})`
    }
  }
  // nginx by default speaks HTTP/1.0 to its upstream, with a Host of this machine and no header of its own.
  if (arrival.httpVersion === '1.0') return 'the request is HTTP/1.0, as proxies send it; send HTTP/1.1'
  const names = namesOf(arrival)
  if (names.length === 0) return 'the request does not say which host it is for'
  if (!names.every(isLoopbackHost))
    return 'the Host header is not localhost, a name under .localhost, 127.0.0.1 or [::1]'
  return pageMark(headers, listed)
}

// The hosts that the request names. A proxy may look at one of them and pass on another.
function namesOf({ headers, rawHeaders, url = '' }: Arrival): string[] {
  const names = rawHeaders.filter((_, i) => i % 2 === 1 && /^(?:host|:authority)$/i.test(rawHeaders[i - 1]!))
  if (names.length === 0 && headers.host !== undefined) names.push(headers.host)
  const authority = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url)?.[1]
  return authority === undefined ? names : [...names, authority]
}

// Proxies pass on the browser's headers about the asking page, even if they add none of their own.
function pageMark({ origin, referer }: IncomingHttpHeaders, listed: readonly string[]): string | null {
  if (origin !== undefined && !listed.includes(origin) && !isOfThisMachine(origin)) {
    return 'a page of another host asks for it (Origin)'
  }
  if (origin !== undefined || referer === undefined || isOfThisMachine(referer)) return null
  return listed.some(each => referer === each || referer.startsWith(`${each}/`))
    ? null
    : 'a page of another host asks for it (Referer)'
}

function isOfThisMachine(url: string): boolean {
  return URL.canParse(url) && isLoopbackHost(new URL(url).host)
}

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

// True for `localhost`, names below it and loopback addresses, with any port or none.
function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/:\d{1,5}$/, '')
  if (name === '[::1]') return true
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  return bare !== '::1' && (isLoopback(bare) || /^[a-z0-9.-]+\.localhost$/.test(bare))
}
