// @ts-check
import { createAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'
import { listen, roomsOf, serve } from './rooms.mjs'

const server = serve({
  open(_names, _request, response) {
    response.writeHead(404).end()
  },
  publish(room, event) {
    if (room === '*') io.emit(event.type, event.data)
    else io.to(room).emit(event.type, event.data)
  },
})

const io = new Server(server, redisAdapter())

io.on('connection', socket => {
  socket.join(roomsOf(new URL(socket.request.url ?? '/', 'http://localhost')).slice(1))
  // socket.io's documentation advises this to save memory: the first request is no longer needed.
  Reflect.set(socket.conn, 'request', null)
})

listen(server)

/** With REDIS_URL socket.io's Redis adapter, otherwise the one in memory. */
function redisAdapter() {
  if (process.env.REDIS_URL === undefined) return {}
  const publisher = new Redis(process.env.REDIS_URL)
  return { adapter: createAdapter(publisher, publisher.duplicate()) }
}
