import type { FastifyInstance, FastifyReply, FastifyRequest, RequestPayload } from 'fastify'
import fp from 'fastify-plugin'
import { Counter } from 'prom-client'
import { covers, type Viewer } from '../src/auth/viewer.js'
import { type Config, ConfigSchema, type RateLimitName } from '../src/config/config.js'
import { RateLimited, shown } from '../src/errors.js'
import { BodiesTooLarge } from '../src/failures.js'
import { Bodies, PIECE_BYTES } from '../src/limits/bodies.js'
import type { SharedBuckets } from '../src/limits/exchange.js'
import { Limiter } from '../src/limits/limiter.js'
import { atMostEvery } from '../src/log.js'
import { USER_PREFIX } from '../src/room.js'

type Done = (error?: Error) => void

/** An onRequest hook that runs after the viewer is known. */
export type LimitHook = (request: FastifyRequest, reply: FastifyReply, done: Done) => void

/** The hooks and calls that count requests and refuse them. Where no limit is set, the member is `null` and costs nothing. */
export interface Limits {
  /** Counts a request as one event. */
  readonly publish: LimitHook | null
  /** Counts a request as one new stream. */
  readonly connect: LimitHook | null
  /** Refuses a publisher that has begun too many rooms. */
  readonly rooms: LimitHook | null
  /**
   * Counts the events of a batch, except the first: it was counted with the request.
   * @throws RateLimited
   */
  readonly batch: (request: FastifyRequest, reply: FastifyReply, events: number) => Promise<void>
  /** Counts the rooms that a publish of this request began. */
  readonly roomsBegan: ((request: FastifyRequest, count: number) => void) | null
  /** A preParsing hook that bounds the bytes that the bodies of all unanswered requests hold. */
  readonly bodies: (
    request: FastifyRequest,
    reply: FastifyReply,
    payload: RequestPayload,
    done: (error: null, payload: RequestPayload) => void,
  ) => void
}

declare module 'fastify' {
  interface FastifyInstance {
    tidingsLimits: Limits
  }
}

/** Options of the limits plugin. */
export interface LimitsOptions {
  readonly config: Config
  /** The counts of all replicas for one limit, added up; `null` where there is one replica. */
  readonly store: ((limit: string) => SharedBuckets) | null
}

interface Kind {
  readonly name: 'publish' | 'rooms' | 'connect'
  readonly option: RateLimitName
  readonly windowMs: number
  readonly what: string
  readonly within: string
  /** Viewers for whom the limit does not count. */
  readonly isExempt?: (viewer: Viewer) => boolean
}

const LOG_INTERVAL_MS = 10_000
const EVERY_USER = `${USER_PREFIX}*`
const SECOND = { windowMs: 1_000, within: 'within a second' }
const MINUTE = { windowMs: 60_000, within: 'within a minute' }
const KINDS: Record<Kind['name'], Kind> = {
  publish: { name: 'publish', option: 'rateLimitPublish', what: 'events', ...SECOND },
  rooms: { name: 'rooms', option: 'rateLimitRooms', what: 'new rooms', ...MINUTE, isExempt: isUnbounded },
  connect: { name: 'connect', option: 'rateLimitConnect', what: 'new streams', ...MINUTE },
}

// Rates of requests, and the bound on bodies. A publisher or viewer over a rate is refused with 429. The stream's route turns the
// 429 into a 200 that says `overloaded`: after an error status EventSource would never come back.
async function limits(app: FastifyInstance, { config, store }: LimitsOptions): Promise<void> {
  const refused: Record<Kind['name'], number> = { publish: 0, rooms: 0, connect: 0 }
  addMetric(app, refused)
  const isDue = atMostEvery(LOG_INTERVAL_MS)
  const note = ({ name }: Kind, refusal: Error) => {
    refused[name]++
    // Refusals repeat: one line per limit every 10 s is enough.
    if (isDue(name)) app.log.warn({ limit: name, refused: refused[name] }, `rate limit: ${refusal.message}`)
  }
  const [publish, rooms, connect] = [KINDS.publish, KINDS.rooms, KINDS.connect].map(kind =>
    config[kind.option] === 0 ? null : createRate(kind, config[kind.option], store, refusal => note(kind, refusal)),
  )
  app.decorate('tidingsLimits', {
    publish: hookOf(publish, 1),
    connect: hookOf(connect, 1),
    rooms: hookOf(rooms, 0),
    batch: async (request, reply, events) => {
      // Other requests of this publisher may have begun rooms while this body was arriving.
      await rooms?.take(request, reply, 0)
      if (events > 1) await publish?.takeRest(request, reply, events - 1)
    },
    roomsBegan: rooms ? (request, count) => rooms.charge(request, count) : null,
    bodies: boundBodies(new Bodies()),
  })
}

function createRate(kind: Kind, limit: number, store: LimitsOptions['store'], onRefused: (refusal: Error) => void) {
  const { option, windowMs, what, within, isExempt = () => false } = kind
  const { env, default: byDefault } = ConfigSchema.properties[option]
  const limiter = new Limiter({ limit, windowMs, shared: store?.(kind.name) ?? null })
  // In open mode every client is on this machine, for development or a benchmark: only a limit other than the default holds.
  const concerns = ({ viewer }: FastifyRequest) => (viewer.kind === 'open' ? limit !== byDefault : !isExempt(viewer))
  const check = (request: FastifyRequest, reply: FastifyReply, waitMs: number) => {
    if (waitMs === 0) return
    const retryS = Math.max(1, Math.ceil(waitMs / 1_000))
    const refusal = new RateLimited(limit, what, within, `${env}=${limit}`, shown(nameOf(request)), retryS)
    onRefused(refusal)
    reply.header('retry-after', retryS)
    throw refusal
  }
  const settle = (request: FastifyRequest, reply: FastifyReply, wait: number | Promise<number>) =>
    typeof wait === 'number' ? check(request, reply, wait) : wait.then(ms => check(request, reply, ms))
  return {
    /** Counts all the events if the limit has room for one. @throws RateLimited  it has none */
    take: (request: FastifyRequest, reply: FastifyReply, events: number) =>
      concerns(request) ? settle(request, reply, limiter.take(whoOf(request), events)) : undefined,
    /** The same for the remaining events of a request whose first event was taken. */
    takeRest: (request: FastifyRequest, reply: FastifyReply, events: number) =>
      concerns(request) ? settle(request, reply, limiter.takeRest(whoOf(request), events)) : undefined,
    charge: (request: FastifyRequest, events: number) => {
      if (concerns(request)) limiter.charge(whoOf(request), events)
    },
  }
}

function hookOf(rate: ReturnType<typeof createRate> | null | undefined, events: number): LimitHook | null {
  if (!rate) return null
  return (request, reply, done) => {
    try {
      const taken = rate.take(request, reply, events)
      if (taken === undefined) done()
      else taken.then(() => done(), done)
    } catch (error) {
      // Safe: only RateLimited is thrown.
      done(error as Error)
    }
  }
}

// Bytes are counted as they arrive, so a body past the bound is refused before the rest of it has come.
function boundBodies(bodies: Bodies): Limits['bodies'] {
  return (request, reply, payload, done) => {
    const who = whoOf(request)
    let held = 0
    const giveBack = () => {
      payload.removeListener('data', count)
      if (held > 0) bodies.release(who, held)
      held = 0
    }
    const count = (piece: Buffer | string) => {
      const bytes = Buffer.byteLength(piece) + PIECE_BYTES
      const allowed = bodies.take(who, bytes)
      if (allowed === null) {
        held += bytes
        return
      }
      const error = new BodiesTooLarge(shown(nameOf(request)), bodies.heldBy(who) + bytes, allowed)
      // Give the bytes back at once: of many bodies that arrive side by side, at least one then gets through.
      giveBack()
      // The body's parser answers with the error that it sees. A body without a parser holds nothing.
      if (payload.listenerCount('error') > 0) payload.emit('error', error)
    }
    payload.on('data', count)
    // The request was answered, or its publisher has left.
    reply.raw.once('close', giveBack)
    done(null, payload)
  }
}

// In open mode nobody proves who they are, so the limits count by address.
function whoOf({ viewer: { kind, userId }, ip }: FastifyRequest): string {
  return kind === 'open' ? `address:${ip}` : `${kind}:${userId}`
}

function nameOf({ viewer: { kind, userId }, ip }: FastifyRequest): string {
  return kind === 'open' ? ip : userId
}

// An API key for every user begins as many rooms as there are users: no number would fit.
function isUnbounded({ kind, publish }: Viewer): boolean {
  return kind === 'server' && covers(publish, EVERY_USER)
}

function addMetric({ tidingsMetrics }: FastifyInstance, refused: Readonly<Record<string, number>>): void {
  new Counter({
    name: 'tidings_rate_limited_total',
    help: 'Requests refused by a rate limit',
    labelNames: ['reason'],
    registers: [tidingsMetrics],
    collect() {
      this.reset()
      for (const [reason, count] of Object.entries(refused)) this.inc({ reason }, count)
    },
  })
}

export default fp(limits, { name: 'tidings-limits', fastify: '5.x', dependencies: ['tidings-auth', 'tidings-metrics'] })
