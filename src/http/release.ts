import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Frees everything that Node and Fastify keep for the request of an HTTP/1.1 stream whose head was sent: a quarter of the memory at 10,000
 * idle streams. To Node the response is finished. Bytes that the client sends from now on are read and dropped, so that they are never taken
 * for another request and the client's end is noticed.
 */
export function releaseRequest(response: ServerResponse, socket: Socket): void {
  // A listener for data makes the HTTP parser give the socket back.
  socket.on('data', ignore)
  for (const event of ['data', 'end', 'timeout']) socket.removeAllListeners(event)
  socket.on('data', ignore)
  socket.on('end', destroyThis)
  // Node's own mark for `Connection: close`; with it, the end of the response would end the socket.
  Reflect.set(response, '_last', false)
  response.emit('finish')
  // On `finish`, Node sets its keep-alive timeout, which would end the stream.
  socket.setTimeout(0)
  // A pipelined request is next in line, and its answer would go into the stream.
  if (Reflect.get(socket, '_httpMessage')) socket.destroy()
}

function ignore(): void {}

function destroyThis(this: Socket): void {
  this.destroy()
}
