import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'

const LINGER_MS = 2_000

/**
 * Ends a connection whose bytes are no HTTP request, with an answer in the shape of every other error. A connection whose request did not
 * arrive in time is cut without an answer: it may be a browser's stream on a starved network, and EventSource comes back from a broken
 * connection, but never from an error status. A connection that does not speak TLS is cut too, because nobody could read the answer.
 */
export function endBadClient(error: Error & { code?: string }, socket: Socket): void {
  // A TLS socket's `alpnProtocol` is null until the handshake is over.
  const isHandshake = 'alpnProtocol' in socket && socket.alpnProtocol === null
  const isSilent = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' || error.code === 'ECONNRESET'
  if (isHandshake || isSilent || !socket.writable) {
    socket.destroy()
    return
  }
  const isOverflow = error.code === 'HPE_HEADER_OVERFLOW'
  const statusCode = isOverflow ? 431 : 400
  const body = JSON.stringify({
    statusCode,
    code: isOverflow ? 'TIDINGS_HEADERS_TOO_LARGE' : 'TIDINGS_MALFORMED_REQUEST',
    error: STATUS_CODES[statusCode],
    message: isOverflow ? 'the request headers are over 16 KiB; send less' : 'the bytes sent are not an HTTP request',
  })
  const head = `HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode]}\r\nConnection: close\r\nContent-Type: application/json\r\n`
  socket.end(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
  // A peer that does not end its side too would hold the socket.
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}
