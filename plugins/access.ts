import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { MAX_SESSION_MS } from '../src/access/tickets.js'
import { ANY_ROOM, covers, isPattern } from '../src/auth/viewer.js'
import { InvalidBody, ManageForbidden, shown } from '../src/errors.js'
import { refusals } from '../src/http/schemas.js'
import { userRoom } from '../src/room.js'

const MAX_BODY_BYTES = 65_536
const MAX_PATTERNS = 1_000
const MAX_TTL_S = MAX_SESSION_MS / 1_000

const TicketRequestSchema = Type.Object(
  {
    userId: Type.String({ description: 'The user that the stream will be of.', examples: ['42'] }),
    follow: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: MAX_PATTERNS,
        description:
          'Rooms that the stream may follow beside the own room and `*`; a trailing `*` stands for any ending.',
        examples: [['session:abc']],
      }),
    ),
    ttl: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_TTL_S,
        description: `How long its session lasts, in seconds; ${MAX_TTL_S} (12 hours) if left out.`,
      }),
    ),
  },
  { additionalProperties: false },
)
type TicketRequest = Static<typeof TicketRequestSchema>

const TicketSchema = Type.Object({
  ticket: Type.String({ description: 'For `/v1/stream?ticket=`; it is shown this once.' }),
  expiresAt: Type.Integer({ description: 'When its session ends, in ms since 1970.' }),
  useBefore: Type.Integer({ description: 'When it must have been used first, in ms since 1970.' }),
})
const EndedSchema = Type.Object({
  ended: Type.Integer({ description: 'Streams that ended, on all replicas that answered within a second.' }),
})

// For servers: tickets, and ends of access. Everything here acts on all replicas.
async function accessRoutes(app: FastifyInstance): Promise<void> {
  const { access, allows, authenticate } = app.tidingsAuth
  const { publish: limit, bodies } = app.tidingsLimits
  app.addHook('onRequest', authenticate)
  if (limit !== null) app.addHook('onRequest', limit)
  app.addHook('preParsing', bodies)
  const manage = async ({ viewer }: FastifyRequest, room: string, what: string) => {
    // One who may not even say which user it is about needs a key without patterns.
    const isAllowed = room === ANY_ROOM ? viewer.publish.includes(ANY_ROOM) && viewer.kind !== 'user' : true
    if (!isAllowed || !(await allows(viewer, 'manage', room))) throw new ManageForbidden(viewer.userId, what)
  }
  const end = (summary: string, description: string) => ({
    // Request lines, where somebody logs them, hold the ticket.
    logLevel: 'warn' as const,
    schema: {
      tags: ['access'],
      summary,
      description,
      response: { 200: EndedSchema, ...refusals(400, 401, 403, 429, 503) },
    },
  })
  const ended = (reply: FastifyReply, count: number) => reply.header('cache-control', 'no-store').send({ ended: count })

  app.post<{ Body: unknown }>(
    '/v1/tickets',
    {
      bodyLimit: MAX_BODY_BYTES,
      schema: {
        tags: ['access'],
        summary: 'Make a ticket for a stream',
        description:
          'A credential for EventSource, which cannot send headers. Good for one stream at a time and its reconnects; it must be used within 60 s.',
        body: TicketRequestSchema,
        response: { 201: TicketSchema, ...refusals(400, 401, 403, 415, 429, 503) },
      },
      validatorCompiler: () => () => true,
    },
    async (request, reply) => {
      const { userId, follow = [], ttl = MAX_TTL_S } = readTicketRequest(request.body)
      await manage(request, userRoom(userId, 'the body'), `make a ticket for user:${userId}`)
      const tooWide = follow.find(pattern => !covers(request.viewer.publish, pattern))
      if (tooWide !== undefined) throw new ManageForbidden(request.viewer.userId, `let a ticket follow '${tooWide}'`)
      const ticket = await access.createTicket({ userId, follow, sessionMs: ttl * 1_000, maker: makerOf(request) })
      return reply.code(201).header('cache-control', 'no-store').header('referrer-policy', 'no-referrer').send(ticket)
    },
  )
  app.delete<{ Params: { ticket: string } }>(
    '/v1/tickets/:ticket',
    end('Revoke a ticket', 'Ends its stream with `revoked`, and refuses the ticket from now on.'),
    async (request, reply) => {
      // Whoever has the ticket and a key of any kind may end it.
      if (request.viewer.kind === 'user') throw new ManageForbidden(request.viewer.userId, 'revoke a ticket')
      return ended(reply, await access.revokeTicket(request.params.ticket))
    },
  )
  app.delete<{ Params: { userId: string } }>(
    '/v1/users/:userId/connections',
    end(
      "End a user's access",
      "Ends all the user's streams with `revoked`, and refuses tokens and tickets that were made before now.",
    ),
    async (request, reply) => {
      const { userId } = request.params
      await manage(request, userRoom(userId, 'the path'), `end the access of user:${userId}`)
      return ended(reply, await access.revokeUser(userId))
    },
  )
  app.delete<{ Params: { id: string } }>(
    '/v1/connections/:id',
    end('End one stream', 'By the `connectionId` of `stream.open`; its credential stays good.'),
    async (request, reply) => {
      await manage(request, ANY_ROOM, 'end a stream by its id')
      return ended(reply, await access.disconnect(request.params.id))
    },
  )
}

// In open mode users are only said, and all of them are this machine.
function makerOf({ viewer: { kind, userId } }: FastifyRequest): string {
  return kind === 'open' ? '' : userId
}

function readTicketRequest(body: unknown): TicketRequest {
  if (!Value.Check(TicketRequestSchema, body)) {
    const { path = '', message = 'it is not valid' } = Value.Errors(TicketRequestSchema, body).First() ?? {}
    const place = path === '' ? 'the body' : `the body's ${shown(path.slice(1))}`
    throw new InvalidBody(place, `${message}; send { "userId": "42", "follow": ["session:abc"], "ttl": ${MAX_TTL_S} }`)
  }
  const bad = body.follow?.find(pattern => !isPattern(pattern))
  if (bad !== undefined) {
    throw new InvalidBody("the body's follow", `'${shown(bad)}' is no room, nor a beginning of one with a trailing *`)
  }
  return body
}

export default fp(accessRoutes, {
  name: 'tidings-access',
  fastify: '5.x',
  encapsulate: true,
  dependencies: ['tidings-auth', 'tidings-limits'],
})
