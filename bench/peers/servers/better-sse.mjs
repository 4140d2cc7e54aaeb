// @ts-check
import { createChannel, createSession } from 'better-sse'
import { listen, serve } from './rooms.mjs'

/** A channel of better-sse for each room. @type {Map<string, ReturnType<typeof createChannel>>} */
const channels = new Map()

listen(
  serve({
    async open(names, request, response) {
      const session = await createSession(request, response)
      session.push('hello', 'hello')
      for (const name of names) {
        const channel = channels.get(name) ?? createChannel()
        channels.set(name, channel)
        channel.register(session)
      }
    },
    publish(room, event) {
      channels.get(room)?.broadcast(event.data, event.type)
    },
  }),
)
