// @ts-check
import http from 'node:http'

/**
 * The followers of each room, as a hand-written server keeps them: room name -> clients.
 * @template Client
 */
export class Rooms {
  /** @type {Map<string, Set<Client>>} */
  #rooms = new Map()

  /** @param {string[]} names @param {Client} client */
  join(names, client) {
    for (const name of names) {
      const room = this.#rooms.get(name)
      if (room) room.add(client)
      else this.#rooms.set(name, new Set([client]))
    }
  }

  /** @param {string[]} names @param {Client} client */
  leave(names, client) {
    for (const name of names) {
      const room = this.#rooms.get(name)
      room?.delete(client)
      if (room?.size === 0) this.#rooms.delete(name)
    }
  }

  /** @param {string} name @returns {Iterable<Client>} */
  followers(name) {
    return this.#rooms.get(name) ?? []
  }
}

/**
 * The rooms that a stream of `GET /stream?user=..&room=..` follows.
 * @param {URL} url
 */
export function roomsOf(url) {
  const room = url.searchParams.get('room')
  return ['*', `user:${url.searchParams.get('user')}`, ...(room === null ? [] : [room])]
}

/**
 * Reads a JSON body to its end.
 * @param {http.IncomingMessage} request
 * @param {(body: any) => void} onBody
 */
export function readJson(request, onBody) {
  let text = ''
  request.setEncoding('utf8')
  request.on('data', part => {
    text += part
  })
  request.on('end', () => onBody(JSON.parse(text)))
}

/**
 * A plain HTTP server with the peers' two routes: `GET /stream` and `POST /publish?to=<room>`.
 * @param {{
 *   open: (rooms: string[], request: http.IncomingMessage, response: http.ServerResponse) => void,
 *   publish: (room: string, event: { type: string, data: unknown }) => void
 * }} handlers
 * @returns {http.Server}
 */
export function serve({ open, publish }) {
  return http.createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    if (request.method === 'GET' && url.pathname === '/stream') return open(roomsOf(url), request, response)
    if (request.method === 'POST' && url.pathname === '/publish') {
      return readJson(request, event => {
        publish(url.searchParams.get('to') ?? '*', event)
        response.writeHead(202, { 'content-type': 'application/json' }).end('{"ok":true}')
      })
    }
    response.writeHead(404).end()
  })
}

/** @param {http.Server} server */
export function listen(server) {
  server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 })
}
