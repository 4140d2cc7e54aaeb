import { randomUUID } from 'node:crypto'
import type { OutgoingHttpHeaders } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { fastifySSE } from '@fastify/sse'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../src/config/config.js'
import { type Cursor, parseCursor } from '../src/cursor.js'
import {
  FollowForbidden,
  InvalidQuery,
  InvalidRequest,
  InvalidRoom,
  NotAcceptable,
  shown,
  TooManyRooms,
} from '../src/errors.js'
import { Admission } from '../src/http/admission.js'
import { releaseRequest } from '../src/http/release.js'
import { refusals } from '../src/http/schemas.js'
import { isRoom } from '../src/room.js'
import { type CloseReason, goesElsewhere } from '../src/stream/close-reason.js'
import type { Connection } from '../src/stream/connection.js'

const KEEPALIVE_MS = 30_000
// About 10 ms of work: what a storm of readers may add to the way of a live event.
const STREAMS_PER_GROUP = 32
// EventSource comes back even when it is told not to; the other stream will not be over soon.
const REPLACED_RETRY_MS = 30_000

const QuerySchema = Type.Object({
  rooms: Type.Optional(
    Type.String({
      description: 'Comma-separated rooms to follow beside your own and `*`.',
      examples: ['session:abc,hub'],
    }),
  ),
  envelope: Type.Optional(Type.String({ description: '`true`: data is `{"room","type","at","data"}`.' })),
  last_event_id: Type.Optional(
    Type.String({ description: 'Resumes after this event; the header Last-Event-ID goes first.' }),
  ),
  ticket: Type.Optional(Type.String({ description: 'A ticket, from `POST /v1/tickets`.' })),
  token: Type.Optional(Type.String({ description: 'A JWT, for readers that cannot send headers.' })),
  user: Type.Optional(
    Type.String({ description: 'Whose stream, where no credentials are configured or an API key asks for it.' }),
  ),
})
interface StreamQuery {
  rooms?: string
  envelope?: string
  last_event_id?: string
}

// The door for readers: checks the request, shakes hands, and gives the socket to the gateway.
async function stream(app: FastifyInstance, { config }: { config: Config }): Promise<void> {
  await app.register(fastifySSE, { heartbeatInterval: 0 })
  // Peers that vanish without a word are found by the kernel.
  app.server.on('connection', (socket: Socket) => socket.setKeepAlive(true, KEEPALIVE_MS))
  const { access, allows, authenticate } = app.tidingsAuth
  const { connect: connectLimit } = app.tidingsLimits
  const admission = new Admission(STREAMS_PER_GROUP)
  const admit = (_: FastifyRequest, __: FastifyReply, done: () => void) => admission.enter(done)
  app.get<{ Querystring: StreamQuery }>('/v1/stream', {
    sse: 'only',
    config: { isStream: true },
    // Where somebody logs request lines: this one may hold a token.
    logLevel: 'warn',
    onRequest: [admit, authenticate, ...(connectLimit === null ? [] : [connectLimit])],
    // A HEAD would open a stream that nobody reads.
    exposeHeadRoute: false,
    schema: {
      tags: ['stream'],
      summary: "Open the viewer's stream",
      description: 'Server-Sent Events: `stream.open` first, then what was missed, then live events.',
      querystring: QuerySchema,
      response: { 200: Type.String({ description: 'text/event-stream' }), ...refusals(400, 401, 403, 406) },
    },
    validatorCompiler: () => () => true,
    preSerialization: async (request, reply, payload) => {
      // What @fastify/sse answers by itself gets a code like every other error.
      return reply.statusCode === 406
        ? withCode(payload, new NotAcceptable(shown(request.headers.accept ?? '')))
        : payload
    },
    handler: async (request, reply) => {
      // A body would stop the socket from being read, and then nobody would notice that the reader left.
      if (hasBody(request)) throw new InvalidRequest('a stream request has no body; send none with GET /v1/stream')
      const { viewer } = request
      const rooms = readRooms(request.query.rooms, config.maxRoomsPerConnection)
      for (const room of rooms) {
        const isAllowed = allows(viewer, 'follow', room)
        if (isAllowed !== true && !(await isAllowed)) throw new FollowForbidden(viewer.userId, room)
      }
      const envelope = readBoolean('envelope', request.query.envelope)
      const after = readAfter(request)
      const { userId, expiresAt, issuedAt, ticket } = viewer
      const id = randomUUID()
      const isReturning = after !== null && after !== 'unknown'
      const seat = ticket === null ? undefined : await access.takeSeat({ ...viewer, ticket }, id, isReturning)
      if (seat === null) return refuse(app, request, reply, 'replaced', REPLACED_RETRY_MS)
      // What happened while it was awaited: the reader left, or its user was revoked.
      if (request.raw.socket.destroyed) return reply.hijack()
      access.refuseRevoked(viewer)
      const output = shakeHands(request, reply)
      const connection = app.tidings.attach({ id, userId, rooms, envelope, after, expiresAt, issuedAt, output })
      if (request.raw.httpVersionMajor === 2) leaveSession(connection, reply)
      if (seat !== undefined) access.sit(connection, seat, output)
    },
    // What passes by itself must not be an error status: EventSource would never come back.
    errorHandler: (error, request, reply) => {
      if (error.statusCode !== 429 && error.statusCode !== 503) return reply.send(error)
      const retryAfterS = Number(reply.getHeader('retry-after') ?? 1)
      // Which limit it was is the reader's to know; what is wrong with a server is not.
      const message = error.statusCode === 429 ? error.message : undefined
      refuse(app, request, reply, 'overloaded', retryAfterS * 1_000 * (1 + Math.random()), message)
    },
  })
}

function hasBody({ headers, raw }: FastifyRequest): boolean {
  // Over HTTP/2 a request that its head does not end goes on, whatever its headers say.
  // Safe: the request came over HTTP/2.
  if (raw.httpVersionMajor === 2) return !(raw as unknown as Http2ServerRequest).stream.endAfterHeaders
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function readRooms(text: unknown, limit: number): string[] {
  if (text === undefined || text === '') return []
  if (typeof text !== 'string') throw new InvalidQuery('rooms', shown(String(text)), 'one comma-separated list')
  const rooms = text.split(',')
  if (rooms.length > limit) throw new TooManyRooms(rooms.length, limit)
  for (const room of rooms) if (!isRoom(room)) throw new InvalidRoom(shown(room), 'the query parameter rooms')
  return rooms
}

function readBoolean(name: string, text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false
  if (text === 'true') return true
  throw new InvalidQuery(name, shown(String(text)), "'true' or 'false'")
}

function readAfter(request: FastifyRequest<{ Querystring: StreamQuery }>): Cursor | 'unknown' | null {
  const header = request.headers['last-event-id']
  const text = typeof header === 'string' && header !== '' ? header : request.query.last_event_id
  if (text === undefined || text === '') return null
  return (typeof text === 'string' ? parseCursor(text) : null) ?? 'unknown'
}

// The answer to a reader that gets no stream now: a stream that says so, and ends.
function refuse(
  app: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
  reason: CloseReason,
  retryMs: number,
  message?: string,
): void {
  reply.hijack()
  const { raw } = reply
  raw.writeHead(200, {
    // Safe: Fastify's headers are names and values that HTTP takes.
    ...(reply.getHeaders() as OutgoingHttpHeaders),
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-store, no-transform',
    'x-accel-buffering': 'no',
    ...(request.raw.httpVersionMajor === 2 ? {} : { connection: 'close' }),
  })
  app.tidings.refuse(raw, reason, retryMs, message)
}

// Sends the response head and takes the socket, or the HTTP/2 stream, out of Fastify's and Node's hands.
function shakeHands(request: FastifyRequest, reply: FastifyReply): Writable {
  // It has one already when there is a secret in the URL.
  const store = reply.hasHeader('cache-control') ? 'no-store, ' : ''
  reply.header('cache-control', `no-cache, ${store}no-transform`)
  if (request.raw.httpVersionMajor === 2) return shakeHands2(reply)
  const { raw } = reply
  const { socket } = raw
  // Behind a request whose answer never ends, this one would never be answered.
  if (socket === null) throw new InvalidRequest('a stream needs a connection of its own: requests cannot be pipelined')
  // First: else the end of the handler, or its timeout, would end the stream.
  reply.hijack()
  // The end of the connection is the end of the body: no chunk framing around frames.
  raw.useChunkedEncodingByDefault = false
  reply.header('connection', 'close')
  reply.sse.keepAlive()
  reply.sse.sendHeaders()
  // Head and first frames leave in one write.
  socket.cork()
  raw.flushHeaders()
  process.nextTick(uncork, socket)
  releaseRequest(raw, socket)
  return socket
}

// HTTP/2 has no Connection header, and delimits the body by itself.
function shakeHands2(reply: FastifyReply): Writable {
  reply.hijack()
  reply.sse.keepAlive()
  // Safe: the request came over HTTP/2.
  const { stream } = reply.raw as unknown as Http2ServerResponse
  // Safe: Fastify's headers are lower-case names and values that HTTP takes.
  const headers = reply.getHeaders() as OutgoingHttpHeaders
  // A reader that has cancelled by now is noticed like one that leaves later.
  if (!stream.closed) {
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no', ...headers })
  }
  return stream
}

// A reader that should come back to another replica would come back to this one, over the HTTP/2 connection that it has: so
// that takes no more requests. Other streams on it go on.
function leaveSession(connection: Connection, reply: FastifyReply): void {
  // Safe: the request came over HTTP/2.
  const { stream } = reply.raw as unknown as Http2ServerResponse
  const { session } = stream
  stream.once('close', () => {
    if (goesElsewhere(connection.endReason) && session?.destroyed === false) session.close()
  })
}

function uncork(socket: Socket): void {
  socket.uncork()
}

function withCode(payload: unknown, error: InstanceType<typeof NotAcceptable>): object {
  return { ...(typeof payload === 'object' ? payload : {}), code: error.code, message: error.message }
}

export default fp(stream, {
  name: 'tidings-stream',
  fastify: '5.x',
  encapsulate: true,
  dependencies: ['tidings-gateway', 'tidings-auth', 'tidings-limits'],
})
