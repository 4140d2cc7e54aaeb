import { createServer, type RequestListener, type Server } from 'node:http'
import { createSecureServer, type Http2SecureServer } from 'node:http2'
import { endBadClient } from './client-errors.js'
import type { SocketLimits, SocketWatch } from './socket-watch.js'
import type { Certificate } from './tls.js'

// Peers that send their handshake, head or body drop by drop (slow loris) are cut.
const HANDSHAKE_MS = 10_000
const HEAD_MS = 10_000
const REQUEST_MS = 30_000
const UNREAD_MS = 30_000
const KEEP_ALIVE_MS = 72_000
const CHECK_MS = 2_000
const MAX_UNREAD_BYTES = 64 * 1_048_576

const HTTP2 = {
  // A client that wants more at once opens another session; Node's own default has no limit. Heads have the limit of HTTP/1.1.
  settings: { maxConcurrentStreams: 250, maxHeaderListSize: 16_384 },
  // In MiB: heads, bodies and answers of a session together.
  maxSessionMemory: 10,
}

/** The limits of every server here. `idleMs` is past Node's keep-alive timeout, so that Node ends idle HTTP/1.1 sockets first. */
export function socketLimits(maxConnections: number): SocketLimits {
  return {
    firstRequestMs: HEAD_MS,
    requestMs: REQUEST_MS,
    unreadMs: UNREAD_MS,
    idleMs: KEEP_ALIVE_MS + 5_000,
    maxWaiting: 1_000 + Math.floor(maxConnections / 10),
    maxUnreadBytes: MAX_UNREAD_BYTES,
  }
}

/** A server whose sockets `watch` bounds. With a certificate it serves HTTPS, over HTTP/2 and HTTP/1.1. It does not listen yet. */
export function createWatchedServer(
  certificate: Certificate | null,
  watch: SocketWatch,
  handler: RequestListener,
): Server | Http2SecureServer {
  const admitted: RequestListener = (request, answer) => {
    if (watch.admit(request, answer)) handler(request, answer)
  }
  const server = certificate === null ? createServer(admitted) : createSecure(certificate, admitted)
  // As properties, because an HTTP/2 server takes none of these as an option and uses them for its HTTP/1.1 sockets.
  Object.assign(server, {
    headersTimeout: HEAD_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: CHECK_MS,
    requireHostHeader: true,
  })
  // Fastify sets this listener on its first server only, and has two servers if `localhost` has two addresses.
  server.once('listening', () => {
    if (server.listenerCount('clientError') === 0) server.on('clientError', endBadClient)
  })
  watch.watch(server)
  return server
}

function createSecure(certificate: Certificate, handler: RequestListener): Http2SecureServer {
  const options = { allowHTTP1: true, handshakeTimeout: HANDSHAKE_MS, ...HTTP2, ...certificate }
  // Safe: Node's requests and answers of HTTP/2 have what Fastify uses of those of HTTP/1.1.
  return createSecureServer(options, handler as unknown as Parameters<typeof createSecureServer>[1])
}
