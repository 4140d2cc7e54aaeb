// @ts-check
import Fastify from 'fastify'
import { FastifySSEPlugin } from 'fastify-sse-v2'
import { Rooms, roomsOf } from './rooms.mjs'

const app = Fastify()
/** @type {Rooms<any>} */
const rooms = new Rooms()
let nextId = 1

await app.register(FastifySSEPlugin)

app.get('/stream', (request, reply) => {
  const names = roomsOf(new URL(request.url, 'http://localhost'))
  reply.sse({ event: 'hello', data: 'hello' })
  rooms.join(names, reply)
  request.raw.on('close', () => rooms.leave(names, reply))
})

app.post('/publish', async (request, reply) => {
  const { to } = /** @type {{ to: string }} */ (request.query)
  const event = /** @type {{ type: string, data: unknown }} */ (request.body)
  const id = String(nextId++)
  for (const follower of rooms.followers(to)) {
    follower.sse({ id, event: event.type, data: JSON.stringify(event.data) })
  }
  return reply.code(202).send({ ok: true })
})

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 })
