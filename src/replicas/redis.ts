import { randomUUID } from 'node:crypto'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { AccessUnavailable } from '../failures.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'
import { type CommandHandler, carryOut, type ReplicaCommand, type Replicas } from './replicas.js'

const script = loadScript(import.meta.url, 'replicas.lua')

const ANSWER_TIMEOUT_MS = 1_000
// A cluster does not tell how many replicas there are, so `ask` waits this long for answers instead.
const CLUSTER_WAIT_MS = 400

/** A message on the channel: a command that wants answers to `id`, or the answer of one replica. */
const MessageSchema = Type.Union([
  Type.Object({ id: Type.String({ maxLength: 64 }), count: Type.Integer({ minimum: 0 }) }),
  Type.Object({ id: Type.String({ maxLength: 64 }), command: Type.Object({ kind: Type.String() }) }),
])
type Message = Static<typeof MessageSchema>

interface Pending {
  count: number
  answers: number
  expected: number
  readonly settle: () => void
}

/** Replicas that share a Redis. They talk over a channel of their own, on the link that all adapters share. */
export class RedisReplicas implements Replicas {
  readonly #link: RedisLink
  readonly #channel: string
  readonly #pending = new Map<string, Pending>()
  #handler: CommandHandler | null = null

  /** `link` must not be connected yet. */
  constructor(link: RedisLink, names: RedisNames) {
    this.#link = link
    this.#channel = names.replicas
  }

  listen(handler: CommandHandler): void {
    this.#handler = handler
    this.#link.subscribe(this.#channel, bytes => this.#take(bytes.toString('utf8')))
    // The handler looks up missed commands over the one connection, and hears new ones over the other: it needs both.
    const miss = () => {
      if (this.#link.isReady && this.#link.isSubscriberReady) handler.onMissed()
    }
    this.#link.onSubscribed(miss)
    this.#link.onReady(miss)
    this.#link.onUnsubscribed(() => handler.onCutOff())
  }

  /** Redis lost data: the handler must look up what is left, and put back the rest. */
  miss(): void {
    if (this.#link.isSubscriberReady) this.#handler?.onMissed()
  }

  async ask(command: ReplicaCommand): Promise<number> {
    const id = randomUUID()
    const isCluster = this.#link.address.kind === 'cluster'
    return new Promise<number>((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer)
        this.#pending.delete(id)
        resolve(pending.count)
      }
      const pending: Pending = { count: 0, answers: 0, expected: Number.POSITIVE_INFINITY, settle }
      const timer = setTimeout(settle, isCluster ? CLUSTER_WAIT_MS : ANSWER_TIMEOUT_MS).unref()
      this.#pending.set(id, pending)
      this.#publish({ id, command }).then(
        replicas => {
          if (isCluster) return
          pending.expected = replicas
          if (pending.answers >= replicas) settle()
        },
        (error: unknown) => {
          reject(error)
          settle()
        },
      )
    })
  }

  // Any client of this Redis, and replicas of other versions, may write to the channel, so unknown messages are left out.
  #take(text: string): void {
    const message = readMessage(text)
    if (message === null) return
    if ('count' in message) this.#count(message.id, message.count)
    else {
      const count = carryOut(this.#handler, message.command)
      // The replica that asked stops waiting by itself when this does not arrive.
      this.#publish({ id: message.id, count }).catch(() => {})
    }
  }

  #count(id: string, count: number): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    pending.count += count
    pending.answers++
    if (pending.answers >= pending.expected) pending.settle()
  }

  async #publish(message: Message): Promise<number> {
    try {
      return Number(await this.#link.run(script, [this.#channel], [JSON.stringify(message)]))
    } catch (error) {
      const unavailable = new AccessUnavailable('no answer from Redis')
      unavailable.cause = error
      throw unavailable
    }
  }
}

function readMessage(text: string): Message | null {
  try {
    const message: unknown = JSON.parse(text)
    return Value.Check(MessageSchema, message) ? message : null
  } catch {
    return null
  }
}
