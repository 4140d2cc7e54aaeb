// @ts-check

/**
 * A protocol of the load generator, in bytes, without a client library.
 *
 * `open` makes the request of a stream. `greet` looks at the bytes so far and returns 'open', 'wait', or bytes to send first.
 * `publish` makes a request that publishes one event; `batch`, where a server has such a call, one that publishes many.
 * `answerTo` makes the answer to a chunk without an event, such as a WebSocket ping.
 * @typedef {{ user: string, room: string, lastEventId?: string | undefined, token?: string | undefined }} Stream
 * @typedef {{ room: string, json: string }} Outgoing
 * @typedef {{
 *   open: (stream: Stream) => string,
 *   greet: (received: string) => 'open' | 'wait' | { send: Buffer },
 *   publish: (event: Outgoing) => string,
 *   batch?: (events: Outgoing[]) => string,
 *   answerTo?: (chunk: Buffer, length: number) => Buffer | undefined
 * }} Protocol
 */

const HOST = 'Host: 127.0.0.1\r\n'
export const EVENT_TYPE = 'tick'

/** @type {Record<string, Protocol>} */
export const PROTOCOLS = {
  tidings: {
    open({ user, room, lastEventId, token }) {
      const query = new URLSearchParams({ ...(!token && { user }), ...(isFree(room) && { rooms: room }) })
      const headers = `${lastEventId ? `Last-Event-ID: ${lastEventId}\r\n` : ''}${token ? `Authorization: Bearer ${token}\r\n` : ''}`
      return `GET /v1/stream?${query} HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\n${headers}\r\n`
    },
    greet: received => greetStream(received, 'event: stream.open'),
    publish({ room, json }) {
      return post(pathOf(room), `{"type":"${EVENT_TYPE}","data":${json}}`)
    },
    batch(events) {
      const lines = events.map(({ room, json }) => `{"to":"${room}","type":"${EVENT_TYPE}","data":${json}}\n`)
      return post('/v1/events', lines.join(''), 'application/x-ndjson')
    },
  },

  nchan: {
    open({ room, lastEventId }) {
      const resume = lastEventId ? `Last-Event-ID: ${lastEventId}\r\n` : ''
      return `GET /sub?room=${nchanChannel(room)} HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\n${resume}\r\n`
    },
    greet: received => greetStream(received, '\r\n\r\n'),
    publish({ room, json }) {
      return post(`/pub?to=${nchanChannel(room)}`, json, 'application/json', `X-EventSource-Event: ${EVENT_TYPE}\r\n`)
    },
  },

  plain: {
    open: ({ user, room }) =>
      `GET /stream?user=${user}${roomQuery(room)} HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\n\r\n`,
    greet: received => greetStream(received, 'hello'),
    publish: postToPeer,
  },

  'socket.io': {
    open({ user, room }) {
      return (
        `GET /socket.io/?EIO=4&transport=websocket&user=${user}${roomQuery(room)} HTTP/1.1\r\n${HOST}` +
        'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
      )
    },
    greet(received) {
      if (received.includes('40{"sid"')) return 'open'
      // engine.io begins with '0{...}'; then '40' connects to the main namespace.
      return received.includes('0{"sid"') ? { send: WS_CONNECT } : greetStream(received, '40{"sid"', '101')
    },
    publish: postToPeer,
    answerTo(chunk, length) {
      // engine.io's ping is the text frame '2'. It stands at an end of a chunk, unless it came between events.
      const isPing =
        length >= 3 && (chunk.indexOf(WS_PING) === 0 || chunk.lastIndexOf(WS_PING, length - 3) === length - 3)
      return isPing ? WS_PONG : undefined
    },
  },
}

const WS_CONNECT = maskedText('40')
const WS_PONG = maskedText('3')
const WS_PING = Buffer.from([0x81, 0x01, 0x32])

/**
 * @param {string} received
 * @param {string} mark
 * @param {string} [status]
 */
function greetStream(received, mark, status = '200') {
  if (received.length >= 12 && received.slice(9, 12) !== status) {
    throw new Error(`a stream was refused: ${received.slice(0, 300)}`)
  }
  return received.includes(mark) ? 'open' : 'wait'
}

/** A masked WebSocket text frame; the mask is zero. @param {string} text */
function maskedText(text) {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])
}

/** @param {string} room */
const isFree = room => room !== '*' && !room.startsWith('user:')

/** @param {string} room */
const roomQuery = room => (isFree(room) ? `&room=${room}` : '')

/** @param {string} room */
const nchanChannel = room => (room === '*' ? 'everyone' : room.replace(':', '-'))

/** @param {string} room */
function pathOf(room) {
  if (room === '*') return '/v1/broadcast'
  return room.startsWith('user:') ? `/v1/users/${room.slice(5)}/events` : `/v1/rooms/${room}/events`
}

/** @param {Outgoing} event */
function postToPeer({ room, json }) {
  return post(`/publish?to=${room}`, `{"type":"${EVENT_TYPE}","data":${json}}`)
}

/**
 * @param {string} path
 * @param {string} body ASCII
 * @param {string} [type]
 * @param {string} [headers]
 */
function post(path, body, type = 'application/json', headers = '') {
  return `POST ${path} HTTP/1.1\r\n${HOST}Content-Type: ${type}\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`
}
