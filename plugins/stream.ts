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
// About 10 ms of work: a reconnect storm (thundering herd) delays a live event by no more.
const STREAMS_PER_GROUP = 32
// EventSource comes back even when it is told not to. The stream that took the ticket will live for a while.
const REPLACED_RETRY_MS = 30_000

const QuerySchema = Type.Object({
  rooms: Type.Optional(
    Type.String({
      description: 'Rooms to follow, separated by commas, in addition to your own and `*`.',
      examples: ['session:abc,hub'],
    }),
  ),
  envelope: Type.Optional(
    Type.String({
      description: 'With `true` the data of each event is `{"room","type","at","data"}` instead of the payload alone.',
    }),
  ),
  last_event_id: Type.Optional(
    Type.String({ description: 'Resume after the event with this id. The header `Last-Event-ID` takes precedence.' }),
  ),
  ticket: Type.Optional(Type.String({ description: 'A ticket from `POST /v1/tickets`.' })),
  token: Type.Optional(Type.String({ description: 'A JWT, for clients that cannot send headers.' })),
  user: Type.Optional(
    Type.String({
      description: 'The user whose stream is opened: with an API key, or on a gateway without credentials.',
    }),
  ),
})
interface StreamQuery {
  rooms?: string
  envelope?: string
  last_event_id?: string
}

// The route for readers: it checks the request, sends the response head, and hands the socket to the gateway.
async function stream(app: FastifyInstance, { config }: { config: Config }): Promise<void> {
  await app.register(fastifySSE, { heartbeatInterval: 0 })
  // TCP keep-alive: the kernel finds peers that vanished without a FIN.
  app.server.on('connection', (socket: Socket) => socket.setKeepAlive(true, KEEPALIVE_MS))
  const { access, allows, authenticate } = app.tidingsAuth
  const { connect: connectLimit } = app.tidingsLimits
  const admission = new Admission(STREAMS_PER_GROUP)
  const admit = (_: FastifyRequest, __: FastifyReply, done: () => void) => admission.enter(done)
  app.get<{ Querystring: StreamQuery }>('/v1/stream', {
    sse: 'only',
    config: { isStream: true },
    // An application may log request lines, and this one may hold a token.
    logLevel: 'warn',
    onRequest: [admit, authenticate, ...(connectLimit === null ? [] : [connectLimit])],
    // A HEAD would open a stream that nobody reads.
    exposeHeadRoute: false,
    schema: {
      tags: ['stream'],
      summary: 'Open a stream of Server-Sent Events',
      description:
        'The stream begins with `stream.open`, then brings the events that the reader missed, then live events.',
      querystring: QuerySchema,
      response: { 200: Type.String({ description: 'text/event-stream' }), ...refusals(400, 401, 403, 406) },
    },
    validatorCompiler: () => () => true,
    preSerialization: async (request, reply, payload) => {
      // @fastify/sse answers 406 by itself; give that answer a code like every other error.
      return reply.statusCode === 406
        ? withCode(payload, new NotAcceptable(shown(request.headers.accept ?? '')))
        : payload
    },
    handler: async (request, reply) => {
      // A body would stop Node from reading the socket, and nobody would notice that the reader left.
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
      // During the awaits above the reader may have left, or its user may have been revoked.
      if (request.raw.socket.destroyed) return reply.hijack()
      access.refuseRevoked(viewer)
      const output = shakeHands(request, reply)
      const connection = app.tidings.attach({ id, userId, rooms, envelope, after, expiresAt, issuedAt, output })
      if (request.raw.httpVersionMajor === 2) leaveSession(connection, reply)
      if (seat !== undefined) access.sit(connection, seat, output)
    },
    // After an error status EventSource never comes back, so a passing trouble is told in a 200.
    errorHandler: (error, request, reply) => {
      if (error.statusCode !== 429 && error.statusCode !== 503) return reply.send(error)
      const retryAfterS = Number(reply.getHeader('retry-after') ?? 1)
      // A reader may know which limit it met, but nothing about a server's trouble.
      const message = error.statusCode === 429 ? error.message : undefined
      refuse(app, request, reply, 'overloaded', retryAfterS * 1_000 * (1 + Math.random()), message)
    },
  })
}

function hasBody({ headers, raw }: FastifyRequest): boolean {
  // Over HTTP/2 only the END_STREAM flag of the head says that no body follows; content-length proves nothing.
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

// Answers a reader that gets no stream now: with a stream that gives the reason and ends.
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

// Sends the response head and takes the socket, or the HTTP/2 stream, away from Fastify and Node.
function shakeHands(request: FastifyRequest, reply: FastifyReply): Writable {
  // The auth plugin has set `no-store` when the URL holds a secret.
  const store = reply.hasHeader('cache-control') ? 'no-store, ' : ''
  reply.header('cache-control', `no-cache, ${store}no-transform`)
  if (request.raw.httpVersionMajor === 2) return shakeHands2(reply)
  const { raw } = reply
  const { socket } = raw
  // A pipelined request waits for the answers before it, and a stream's answer never ends.
  if (socket === null) throw new InvalidRequest('a stream needs a connection of its own: requests cannot be pipelined')
  // This comes first: otherwise the end of the handler, or its timeout, would end the stream.
  reply.hijack()
  // The end of the connection ends the body, so frames need no chunk framing around them.
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
  // If the reader has cancelled already, the gateway notices that as it notices a later end.
  if (!stream.closed) {
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no', ...headers })
  }
  return stream
}

// A reader that should move to another replica would return to this one over its open HTTP/2 connection. So the connection takes
// no more requests (GOAWAY); its other streams go on.
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
