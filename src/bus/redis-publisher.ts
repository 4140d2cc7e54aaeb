import { type Cursor, parseCursor } from '../cursor.js'
import type { Draft } from '../draft.js'
import type { Published } from '../event.js'
import { BusUnavailable, BusUncertain, Closed } from '../failures.js'
import { heapShare } from '../heap.js'
import { answerDeadline } from '../redis/deadline.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'
import { type BusOptions, KEY_TTL_MS, ROOMS_LIMIT } from './bus.js'
import { COUNTER_KEYS, type RedisCounter, type ScriptRequest } from './redis-counter.js'
import { throwAsBusError } from './redis-failure.js'

const publishScript = loadScript(import.meta.url, 'counter.lua', 'append.lua', 'publish.lua')
const movedScript = loadScript(import.meta.url, 'counter.lua', 'moved.lua')

// Publishes are joined into one script up to these limits, so that no other client of Redis waits long. One publish is never split, so a
// batch may pass them: it is one atomic step.
const GROUP_EVENTS = 500
const GROUP_BYTES = 1_048_576
// Past this, publishes are refused: a publisher that is faster than Redis must not fill the memory (back-pressure).
const QUEUE_LIMIT_BYTES = heapShare(1 / 8)
const DRAFT_OVERHEAD_BYTES = 200

/** Options of a `RedisPublisher`. */
export interface RedisPublisherOptions extends BusOptions {
  readonly link: RedisLink
  readonly names: RedisNames
  readonly counter: RedisCounter
  /** Redis replicas that must have an event before it counts as published. */
  readonly waitReplicas: number
  readonly waitMs: number
}

interface Waiting {
  readonly drafts: readonly Draft[]
  readonly onNewRooms: ((count: number) => void) | undefined
  readonly bytes: number
  readonly resolve: (published: Published[]) => void
  readonly reject: (error: Error) => void
}

/**
 * The publishing half of the Redis bus: gateways and emitters have one each. Publishes of one turn of the event loop go to
 * Redis as one script up to `GROUP_EVENTS` and `GROUP_BYTES`, so that a busy publisher pays once for many.
 */
export class RedisPublisher {
  readonly #options: RedisPublisherOptions
  #queue: Waiting[] = []
  #queuedBytes = 0
  #flushScheduled = false
  /** The newest position that this publisher got. */
  #given: Cursor | null = null
  /** One position for each epoch that ended since: the newest one that this publisher got in it, until Redis is told. */
  #untold: Cursor[] = []
  readonly #underWay = new Set<Promise<void>>()
  #isClosed = false

  constructor(options: RedisPublisherOptions) {
    this.#options = options
  }

  /** As `Bus.publish`. */
  publish(drafts: readonly Draft[], onNewRooms?: (count: number) => void): Promise<Published[]> {
    if (this.#isClosed) return Promise.reject(new Closed('bus'))
    if (!this.#options.link.isReady) return Promise.reject(new BusUnavailable('not connected to Redis'))
    let bytes = 0
    for (const draft of drafts) bytes += draft.data.length + DRAFT_OVERHEAD_BYTES
    if (this.#queuedBytes + bytes > QUEUE_LIMIT_BYTES) {
      return Promise.reject(new BusUnavailable('more is being published than Redis takes'))
    }
    this.#queuedBytes += bytes
    return new Promise((resolve, reject) => {
      this.#queue.push({ drafts, onNewRooms, bytes, resolve, reject })
      if (this.#flushScheduled) return
      this.#flushScheduled = true
      setImmediate(() => this.#flush())
    })
  }

  /** Refuses new drafts and waits for those under way. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#flushScheduled) this.#flush()
    await Promise.all(this.#underWay)
  }

  #flush(): void {
    if (!this.#flushScheduled) return
    this.#flushScheduled = false
    let group: Waiting[] = []
    let events = 0
    let bytes = 0
    for (const waiting of this.#queue) {
      if (group.length > 0 && (events + waiting.drafts.length > GROUP_EVENTS || bytes + waiting.bytes > GROUP_BYTES)) {
        this.#start(group)
        group = []
        events = 0
        bytes = 0
      }
      group.push(waiting)
      events += waiting.drafts.length
      bytes += waiting.bytes
    }
    this.#queue = []
    this.#start(group)
  }

  #start(group: Waiting[]): void {
    if (group.length === 0) return
    const sent = this.#send(group).finally(() => {
      for (const { bytes } of group) this.#queuedBytes -= bytes
      this.#underWay.delete(sent)
    })
    this.#underWay.add(sent)
  }

  // Never rejects: every outcome goes to the waiting callers.
  async #send(group: readonly Waiting[]): Promise<void> {
    try {
      const published = await this.#attempt(group)
      let from = 0
      for (const { drafts, resolve } of group) {
        resolve(published.slice(from, from + drafts.length))
        from += drafts.length
      }
    } catch (error) {
      for (const { reject } of group) reject(error instanceof Error ? error : new Error(String(error)))
    }
  }

  async #attempt(group: readonly Waiting[]): Promise<Published[]> {
    const { counter, waitReplicas, waitMs, link } = this.#options
    const drafts = group.length === 1 ? group[0]!.drafts : group.flatMap(({ drafts }) => drafts)
    // One deadline for the script, however often it is sent, and for the replicas.
    const deadline = answerDeadline()
    const answer = await counter.run(publishScript, life => this.#requestFor(life, drafts), deadline)
    // Safe: publish.lua returns strings, in this order.
    const [epoch, at, ...answers] = answer as [string, string, ...string[]]
    const published = answers.map((one, i) => readAnswer(one, epoch, Number(at), drafts[i]!.room))
    this.#note(published)
    // Callers hear of new rooms before the wait for replicas, because the rooms exist however that wait ends.
    tellNewRooms(group, answers)
    if (waitReplicas > 0) {
      // WAIT covers the script's writes, because it is sent after the script on the same connection.
      const reached = await link.waitForReplicas(waitReplicas, waitMs, deadline).catch(throwAsBusError)
      if (reached < waitReplicas) {
        throw new BusUncertain(`${reached} of ${waitReplicas} Redis replicas had it within ${waitMs} ms`)
      }
    }
    return published
  }

  // After a failover, the old primary may have gone on taking events. The new primary cannot know of them, unless the publishers that got
  // positions tell it.
  #note(published: readonly Published[]): void {
    const last = published.findLast(({ duplicate }) => duplicate !== true)
    const cursor = last === undefined ? null : parseCursor(last.id)
    if (cursor === null) return
    if (this.#given !== null && this.#given.epoch !== cursor.epoch) this.#untold.push(this.#given)
    this.#given = cursor
    if (this.#untold.length > 0) void this.#tell()
  }

  async #tell(): Promise<void> {
    const untold = this.#untold
    this.#untold = []
    for (const { epoch, seq } of untold) {
      try {
        await this.#options.counter.run(movedScript, () => ({ keys: [], args: [epoch, seq] }))
      } catch {
        // The next publish tries again.
        this.#untold.push({ epoch, seq })
      }
    }
  }

  #requestFor(life: string, drafts: readonly Draft[]): ScriptRequest {
    const { names, historySize, historyTtlMs } = this.#options
    const keys: string[] = []
    const args: (string | number)[] = [names.events, historySize, historyTtlMs, ROOMS_LIMIT, KEY_TTL_MS]
    for (const { room, type, data, ephemeral, key } of drafts) {
      const historyIndex = COUNTER_KEYS + keys.push(names.history(life, room))
      const keyIndex = key === undefined ? 0 : COUNTER_KEYS + keys.push(names.key(room, key))
      args.push(room, type, data, ephemeral ? 'e' : '', historyIndex, keyIndex)
    }
    return { keys, args }
  }
}

function readAnswer(answer: string, epoch: string, at: number, room: string): Published {
  if (answer.startsWith('=')) {
    const [id = '', firstAt = ''] = answer.slice(1).split(' ')
    return { id, room, at: Number(firstAt), duplicate: true }
  }
  return { id: `${epoch}-${isOfNewRoom(answer) ? answer.slice(0, -1) : answer}`, room, at }
}

function tellNewRooms(group: readonly Waiting[], answers: readonly string[]): void {
  let from = 0
  for (const { drafts, onNewRooms } of group) {
    const end = from + drafts.length
    if (onNewRooms !== undefined) {
      let count = 0
      for (let i = from; i < end; i++) if (isOfNewRoom(answers[i]!)) count++
      if (count > 0) onNewRooms(count)
    }
    from = end
  }
}

function isOfNewRoom(answer: string): boolean {
  return answer.endsWith('+')
}
