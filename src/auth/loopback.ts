import type { IncomingHttpHeaders } from 'node:http'

/** What of a request tells where it came from. */
export interface Arrival {
  readonly headers: IncomingHttpHeaders
  readonly httpVersion: string
  /** The two ends of its connection; unknown on a Unix socket, which is of this machine. */
  readonly socket: { readonly localAddress?: string | undefined; readonly remoteAddress?: string | undefined }
}

// What proxies add to the requests that they pass on, beside `X-Forwarded-*`.
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
 * What shows that a request was not made on this machine for a name of this machine, in words; `null` when nothing does. A
 * proxy on this machine connects from loopback for the whole world, and a page of any site can give its own name the address
 * 127.0.0.1 (DNS rebinding): so what the request says counts as much as its connection.
 */
export function outsiderMark({ headers, httpVersion, socket }: Arrival): string | null {
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
  const names = [headers[':authority'], headers.host].filter(name => name !== undefined)
  // HTTP/1.0 knows no Host, and no browser speaks it.
  if (names.length === 0 && httpVersion !== '1.0') return 'the request does not say which host it is for'
  return names.every(name => typeof name === 'string' && isLoopbackHost(name))
    ? null
    : 'the Host header is not localhost, a name under .localhost, 127.0.0.1 or [::1]'
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
