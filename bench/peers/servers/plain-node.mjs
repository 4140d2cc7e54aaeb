// @ts-check
import { listen, Rooms, serve } from './rooms.mjs'

// Server-sent events on bare node:http, as the tutorials write them: a Set of responses, a write per client.
/** @type {Rooms<import('node:http').ServerResponse>} */
const rooms = new Rooms()
let nextId = 1

listen(
  serve({
    open(names, request, response) {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
      response.write(': hello\n\n')
      rooms.join(names, response)
      request.on('close', () => rooms.leave(names, response))
    },
    publish(room, event) {
      const id = nextId++
      for (const response of rooms.followers(room)) {
        response.write(`id: ${id}\nevent: ${event.type}\ndata: ${JSON.stringify(event.data)}\n\n`)
      }
    },
  }),
)
