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

/** What counts and refuses; `null` where there is no limit, so that it costs nothing. */
export interface Limits {
  /** Counts a request as one event. */
  readonly publish: LimitHook | null
  /** Counts a request as one new stream. */
  readonly connect: LimitHook | null
  /** Refuses those who have begun too many rooms. */
  readonly rooms: LimitHook | null
  /**
   * Counts a batch, whose first event was counted with its request.
   * @throws RateLimited
   */
  readonly batch: (request: FastifyRequest, reply: FastifyReply, events: number) => Promise<void>
  /** Counts the rooms that a publish of this request began. */
  readonly roomsBegan: ((request: FastifyRequest, count: number) => void) | null
  /** A preParsing hook that bounds what the bodies of all requests hold, until they are answered. */
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

/** What the limits plugin is made with. */
export interface LimitsOptions {
  readonly config: Config
  /** Where replicas add up what they count; `null` where there is one replica. */
  readonly store: ((limit: string) => SharedBuckets) | null
}

interface Kind {
  readonly name: 'publish' | 'rooms' | 'connect'
  readonly option: RateLimitName
  readonly windowMs: number
  readonly what: string
  readonly within: string
  /** Those whom it does not concern. */
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

// Rates and bounds. A publisher or viewer over a rate is refused with 429; the stream's door turns that into an answer that
// EventSource comes back from.
async function limits(app: FastifyInstance, { config, store }: LimitsOptions): Promise<void> {
  const refused: Record<Kind['name'], number> = { publish: 0, rooms: 0, connect: 0 }
  addMetric(app, refused)
  const isDue = atMostEvery(LOG_INTERVAL_MS)
  const note = ({ name }: Kind, refusal: Error) => {
    refused[name]++
    // Refusals repeat: a line of a limit now and then is enough.
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
      // Others of the same publisher may have come while its body was on the way.
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
  // In open mode everybody comes from this machine, to develop and to measure: only a limit that was chosen holds there.
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
    /** @throws RateLimited  there is no room for one event; otherwise all of them are counted */
    take: (request: FastifyRequest, reply: FastifyReply, events: number) =>
      concerns(request) ? settle(request, reply, limiter.take(whoOf(request), events)) : undefined,
    /** The same for the other events of a request that was let through. */
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

// Bytes are counted as they come. A body that would hold too many is refused while it is still on its way.
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
      // At once, so that of many bodies that come side by side one at least gets through.
      giveBack()
      // Its parser sees the body end in an error, which becomes the answer. A body without a parser holds nothing.
      if (payload.listenerCount('error') > 0) payload.emit('error', error)
    }
    payload.on('data', count)
    // It was answered, or its publisher has left.
    reply.raw.once('close', giveBack)
    done(null, payload)
  }
}

// In open mode users are only said, so the address counts.
function whoOf({ viewer: { kind, userId }, ip }: FastifyRequest): string {
  return kind === 'open' ? `address:${ip}` : `${kind}:${userId}`
}

function nameOf({ viewer: { kind, userId }, ip }: FastifyRequest): string {
  return kind === 'open' ? ip : userId
}

// A server that may publish to every user begins as many rooms as there are users.
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
