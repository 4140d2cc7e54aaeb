import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../src/config/config.js'
import { createDraft, type Draft, EventBodySchema } from '../src/draft.js'
import { PublishForbidden } from '../src/errors.js'
import { type Published, PublishedSchema } from '../src/event.js'
import { readBatch, readEventBody } from '../src/http/body.js'
import { refusals } from '../src/http/schemas.js'
import { EVERYONE, userRoom } from '../src/room.js'
import { endOfTurn } from '../src/turn.js'

/** The routes that publish, as metrics name them. */
type Door = 'user' | 'room' | 'broadcast' | 'batch'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set on the routes that publish. */
    door?: Door
  }
}

const MAX_BATCH_BYTES = 8 * 1024 * 1024
// Room for type, key and the JSON around the data.
const BODY_OVERHEAD_BYTES = 4_096

const BatchSchema = Type.Array(
  Type.Composite([
    Type.Object({
      to: Type.String({
        description: 'The room to publish to: any room, `user:<id>` for one user, or `*` for everyone.',
        examples: ['user:42'],
      }),
    }),
    EventBodySchema,
  ]),
)
const ManyPublishedSchema = Type.Object({ events: Type.Array(PublishedSchema) })
const KeyHeaderSchema = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      description: 'The same as `key` in the body. For a batch, every item without a `key` gets one made from it.',
    }),
  ),
})

// The routes for publishers. Bodies stay text until src/http/body.ts reads them: a payload that was parsed and written again
// would lose digits of its numbers.
async function publish(app: FastifyInstance, { config }: { config: Config }): Promise<void> {
  const { maxEventBytes } = config
  const { allows, authenticate } = app.tidingsAuth
  const { publish: eventLimit, rooms: roomLimit, batch: countBatch, roomsBegan, bodies } = app.tidingsLimits
  // Before the body is read: without a credential nobody makes the gateway hold bytes.
  app.addHook('onRequest', authenticate)
  for (const limit of [roomLimit, eventLimit]) if (limit !== null) app.addHook('onRequest', limit)
  app.addHook('preParsing', bodies)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(['application/json'], { parseAs: 'string' }, keepText)

  const responses = { 202: PublishedSchema, ...refusals(400, 401, 403, 413, 415, 429, 503) }
  const options = (door: Door, summary: string) => ({
    config: { door },
    bodyLimit: maxEventBytes + BODY_OVERHEAD_BYTES,
    schema: { tags: ['publish'], summary, headers: KeyHeaderSchema, body: EventBodySchema, response: responses },
    // The schemas only describe. src/http/body.ts checks bodies: it names the mistake and keeps the payload's text.
    validatorCompiler: () => () => true,
  })
  const publishOne = async (request: FastifyRequest, reply: FastifyReply, room: string, place: string) => {
    const body = readEventBody(textOf(request))
    const key = body.key ?? keyOf(request)
    const draft = createDraft(room, { ...body, key }, maxEventBytes, place)
    const [published] = await publishAll(request, [draft])
    return reply.code(202).send(published)
  }
  const publishAll = async (request: FastifyRequest, drafts: Draft[]): Promise<Published[]> => {
    for (const { room } of drafts) {
      const isAllowed = allows(request.viewer, 'publish', room)
      if (isAllowed !== true && !(await isAllowed)) throw new PublishForbidden(request.viewer.userId, room)
    }
    // Only the bus knows which rooms are new, so they are counted after the publish. A publisher over its limit waits afterwards.
    const onNewRooms = roomsBegan === null ? undefined : (count: number) => roomsBegan(request, count)
    const published = await app.tidings.publishDrafts(drafts, onNewRooms)
    await endOfTurn()
    return published
  }

  app.post<{ Params: { userId: string } }>(
    '/v1/users/:userId/events',
    options('user', 'Publish to all streams of one user'),
    (request, reply) => publishOne(request, reply, userRoom(request.params.userId, 'the path'), 'the request'),
  )
  app.post('/v1/broadcast', options('broadcast', 'Publish to everyone'), (request, reply) =>
    publishOne(request, reply, EVERYONE, 'the request'),
  )
  app.post<{ Params: { room: string } }>(
    '/v1/rooms/:room/events',
    options('room', 'Publish to a room'),
    (request, reply) => publishOne(request, reply, request.params.room, 'the request'),
  )
  app.register(async batch => {
    batch.addContentTypeParser(['application/x-ndjson', 'application/ndjson'], { parseAs: 'string' }, keepText)
    batch.post('/v1/events', {
      ...options('batch', 'Publish many events: all of them or none'),
      bodyLimit: MAX_BATCH_BYTES,
      schema: {
        tags: ['publish'],
        summary: 'Publish many events: all of them or none',
        description: 'The body is a JSON array, or `application/x-ndjson` with one event per line.',
        headers: KeyHeaderSchema,
        body: BatchSchema,
        response: { ...responses, 202: ManyPublishedSchema },
      },
      handler: async (request, reply) => {
        const isNdjson = request.headers['content-type']?.includes('ndjson') === true
        const drafts = withBatchKey(await readBatch(textOf(request), isNdjson, maxEventBytes), keyOf(request))
        await countBatch(request, reply, drafts.length)
        return reply.code(202).send({ events: await publishAll(request, drafts) })
      },
    })
  })
}

function keepText(_: FastifyRequest, body: string, done: (error: null, body: string) => void): void {
  done(null, body)
}

function textOf(request: FastifyRequest): string {
  return typeof request.body === 'string' ? request.body : ''
}

function keyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key']
  return Array.isArray(key) ? key[0] : key
}

// Each item gets an idempotency key made from the batch's, so that a repeated batch publishes nothing twice.
function withBatchKey(drafts: Draft[], key: string | undefined): Draft[] {
  if (key === undefined) return drafts
  return drafts.map((draft, i) =>
    createDraft(draft.room, { ...draft, key: draft.key ?? `${key}#${i}` }, Number.MAX_SAFE_INTEGER, 'the batch'),
  )
}

export default fp(publish, {
  name: 'tidings-publish',
  fastify: '5.x',
  encapsulate: true,
  dependencies: ['tidings-gateway', 'tidings-auth', 'tidings-limits'],
})
