import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { MAX_SESSION_MS } from '../src/access/tickets.js'
import { ANY_ROOM, covers } from '../src/auth/viewer.js'
import { InvalidBody, ManageForbidden, shown } from '../src/errors.js'
import { refusals } from '../src/http/schemas.js'
import { isPattern, userRoom } from '../src/room.js'

const MAX_BODY_BYTES = 65_536
const MAX_PATTERNS = 1_000
const MAX_TTL_S = MAX_SESSION_MS / 1_000

const TicketRequestSchema = Type.Object(
  {
    userId: Type.String({ description: 'The user whose stream the ticket opens.', examples: ['42'] }),
    follow: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: MAX_PATTERNS,
        description:
          "Rooms that the stream may follow in addition to the user's own and `*`. A trailing `*` stands for any ending.",
        examples: [['session:abc']],
      }),
    ),
    ttl: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_TTL_S,
        description: `Seconds until the ticket's session ends. Default ${MAX_TTL_S} (12 hours).`,
      }),
    ),
  },
  { additionalProperties: false },
)
type TicketRequest = Static<typeof TicketRequestSchema>

const TicketSchema = Type.Object({
  ticket: Type.String({ description: 'The ticket, for `/v1/stream?ticket=`. No later call shows it again.' }),
  expiresAt: Type.Integer({ description: "When the ticket's session ends, in ms since 1970." }),
  useBefore: Type.Integer({ description: 'The first use must come before this time, in ms since 1970.' }),
})
const EndedSchema = Type.Object({
  ended: Type.Integer({ description: 'How many streams ended, on the replicas that answered within a second.' }),
})

// Makes and revokes tickets and ends the access of users, for servers. Every call acts on all replicas.
async function accessRoutes(app: FastifyInstance): Promise<void> {
  const { access, allows, authenticate } = app.tidingsAuth
  const { publish: limit, bodies } = app.tidingsLimits
  app.addHook('onRequest', authenticate)
  if (limit !== null) app.addHook('onRequest', limit)
  app.addHook('preParsing', bodies)
  const manage = async ({ viewer }: FastifyRequest, room: string, what: string) => {
    // The id of a stream does not say whose it is, so only a key without patterns may end a stream by id.
    const isAllowed = room === ANY_ROOM ? viewer.publish.includes(ANY_ROOM) && viewer.kind !== 'user' : true
    if (!isAllowed || !(await allows(viewer, 'manage', room))) throw new ManageForbidden(viewer.userId, what)
  }
  const end = (summary: string, description: string) => ({
    // An application may log request lines, and this one may hold a ticket.
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
        summary: 'Make a ticket that opens a stream',
        description:
          'A ticket is a credential for EventSource, which cannot send headers. It must be used within 60 s, and serves one stream at a time and its reconnects.',
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
    end('Revoke a ticket', 'Ends the stream of the ticket with `revoked`, and refuses the ticket from now on.'),
    async (request, reply) => {
      // Any API key may revoke a ticket that it knows.
      if (request.viewer.kind === 'user') throw new ManageForbidden(request.viewer.userId, 'revoke a ticket')
      return ended(reply, await access.revokeTicket(request.params.ticket))
    },
  )
  app.delete<{ Params: { userId: string } }>(
    '/v1/users/:userId/connections',
    end(
      "End a user's access",
      "Ends all streams of the user with `revoked`, and refuses the user's tokens and tickets made before now.",
    ),
    async (request, reply) => {
      const { userId } = request.params
      await manage(request, userRoom(userId, 'the path'), `end the access of user:${userId}`)
      return ended(reply, await access.revokeUser(userId))
    },
  )
  app.delete<{ Params: { id: string } }>(
    '/v1/connections/:id',
    end(
      'End one stream',
      '`id` is the `connectionId` of `stream.open`. The credential stays valid, so the reader may come back.',
    ),
    async (request, reply) => {
      await manage(request, ANY_ROOM, 'end a stream by its id')
      return ended(reply, await access.disconnect(request.params.id))
    },
  )
}

// In open mode nobody proves who they are: all tickets count as made by this machine.
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
