import { createClient, type Purpose, type RedisClient, replyCode } from './client.js'
import { answerDeadline, beforeDeadline } from './deadline.js'
import { RedisUnavailable, RedisUncertain } from './failure.js'
import { RedisLocator } from './locator.js'
import { HASH_TAG } from './names.js'
import type { RedisScript } from './script.js'
import { describeRedis, parseRedisUrl, type RedisAddress } from './url.js'

// How often Sentinels are asked for the primary. A primary that is cut off from them, but not from this replica, goes on taking writes, and
// they will be lost.
const WATCH_INTERVAL_MS = 2_000
const REVIVE_AFTER_MS = 1_000

// Error codes of commands that were refused before they did anything.
const REFUSED = new Set([
  ...['READONLY', 'LOADING', 'MASTERDOWN', 'OOM', 'NOREPLICAS', 'CLUSTERDOWN', 'MISCONF', 'NOAUTH', 'NOPERM'],
  ...['WRONGPASS', 'BUSY', 'TRYAGAIN', 'MOVED', 'ASK', 'DENIED'],
])

/** Options of a `RedisLink`. */
export interface RedisLinkOptions {
  readonly url: string
  /** Called with trouble and with its end, for logs; messages hold no credential. */
  readonly onTrouble?: (error: Error, connection: Purpose) => void
}

/**
 * The two connections to Redis: one for commands, one that subscribes. Each reconnects by itself for as long as the link is
 * open; nothing is queued while it is away.
 *
 *   new      no connection; `#commands` and `#subscriber` are null
 *   open     from `connect()` on; `isReady` and `isSubscriberReady` tell which connections work
 *   closed   from `close()` on; every wait has ended
 */
export class RedisLink {
  readonly address: RedisAddress
  readonly description: string
  readonly #options: RedisLinkOptions
  readonly #locator: RedisLocator
  #commands: RedisClient | null = null
  #subscriber: RedisClient | null = null
  readonly #handlers = new Map<string, (message: Buffer) => void>()
  readonly #onSubscribed: (() => void)[] = []
  readonly #onUnsubscribed: (() => void)[] = []
  readonly #onReady: (() => void)[] = []
  // One for each wait of `whenReady`: settles it, by whether commands can be sent.
  readonly #waiting = new Set<() => void>()
  #isSubscribed = false
  #watchTimer: NodeJS.Timeout | null = null
  #isWatching = false
  #state: 'new' | 'open' | 'closed' = 'new'

  /** @throws TypeError  when the URL is not one; it never quotes the URL */
  constructor(options: RedisLinkOptions) {
    this.#options = options
    this.address = parseRedisUrl(options.url)
    this.description = describeRedis(this.address)
    this.#locator = new RedisLocator(this.address, HASH_TAG)
  }

  /** True while commands can be sent. */
  get isReady(): boolean {
    return this.#state === 'open' && this.#commands?.redis.status === 'ready'
  }

  /** True while every channel is subscribed. */
  get isSubscriberReady(): boolean {
    return this.#isSubscribed
  }

  /**
   * Makes messages of `channel` reach `onMessage`, which should not throw; the Buffer is only valid during the call. To be called
   * before `connect()`.
   */
  subscribe(channel: string, onMessage: (message: Buffer) => void): void {
    this.#handlers.set(channel, onMessage)
  }

  /** Calls `listener` each time all channels were subscribed anew: messages published before may have been missed. */
  onSubscribed(listener: () => void): void {
    this.#onSubscribed.push(listener)
  }

  /** Calls `listener` each time the subscriptions were lost: nothing arrives until they are made anew. */
  onUnsubscribed(listener: () => void): void {
    this.#onUnsubscribed.push(listener)
  }

  /** Calls `listener` each time commands can be sent again. */
  onReady(listener: () => void): void {
    this.#onReady.push(listener)
  }

  /**
   * Resolves when commands can be sent.
   * @throws RedisUnavailable  not within `timeoutMs`, or the link was closed
   */
  async whenReady(timeoutMs: number): Promise<void> {
    if (this.#state === 'new' || this.isReady) return
    const unavailable = () => new RedisUnavailable(`no connection to Redis at ${this.description}`)
    if (this.#state === 'closed') throw unavailable()
    await new Promise<void>((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer)
        this.#waiting.delete(settle)
        if (this.isReady) resolve()
        else reject(unavailable())
      }
      const timer = setTimeout(settle, timeoutMs)
      this.#waiting.add(settle)
    })
  }

  /** Starts both connections; they come up in the background. */
  connect(options: { subscriber: boolean } = { subscriber: true }): void {
    if (this.#state !== 'new') return
    this.#state = 'open'
    this.#commands = this.#createClient('commands')
    this.#commands.redis.on('ready', () => {
      for (const settle of [...this.#waiting]) settle()
      for (const listener of this.#onReady) listener()
    })
    if (this.address.kind === 'sentinel') {
      this.#watchTimer = setInterval(() => void this.#watch(), WATCH_INTERVAL_MS).unref()
    }
    if (!options.subscriber) return
    this.#subscriber = this.#createClient('subscriber')
    const { redis } = this.#subscriber
    redis.on('ready', () => void this.#subscribeAll(redis))
    redis.on('close', () => this.#loseSubscriptions())
    redis.on('messageBuffer', (channel: Buffer, message: Buffer) => {
      try {
        this.#handlers.get(channel.toString('latin1'))?.(message)
      } catch (error) {
        // If the error were thrown on, it would end every replica's process at once, because all of them hear the same message.
        this.#report(error, 'subscriber')
      }
    })
  }

  /**
   * Runs a script. Its answer is waited for until `deadline`, in ms of the monotonic clock.
   * @throws RedisUnavailable  it did not run: not connected, or refused by the server
   * @throws RedisUncertain    it may have run: the connection died, or no answer came in time
   */
  async run(
    script: RedisScript,
    keys: readonly string[],
    args: readonly (string | number)[],
    deadline = answerDeadline(),
  ): Promise<unknown> {
    const redis = this.#commands?.redis
    if (redis === undefined || redis.status !== 'ready') throw new RedisUnavailable('not connected to Redis')
    try {
      return await script.run(redis, keys, args, deadline)
    } catch (error) {
      throw asFailure(error)
    }
  }

  /**
   * Waits until the writes sent before on this connection reached `replicas` replicas.
   * @returns how many have them after `timeoutMs` at most
   * @throws RedisUncertain  the connection died, or no answer came by `deadline`, in ms of the monotonic clock
   */
  async waitForReplicas(replicas: number, timeoutMs: number, deadline: number): Promise<number> {
    const redis = this.#commands?.redis
    if (redis === undefined || redis.status !== 'ready') throw new RedisUncertain('the connection to Redis was lost')
    try {
      return Number(await beforeDeadline(redis.call('WAIT', replicas, timeoutMs), deadline))
    } catch (error) {
      throw new RedisUncertain(messageOf(error))
    }
  }

  /** Makes the subscriber's connection anew, for a connection on which no message arrives. */
  renewSubscriber(): void {
    this.#loseSubscriptions()
    // Any other state leads to a new connection by itself.
    if (this.#subscriber?.redis.status === 'ready') this.#subscriber.redis.disconnect(true)
  }

  /** Proves to the subscriber's silence timeout that the server lives. */
  pingSubscriber(): void {
    const redis = this.#subscriber?.redis
    if (redis?.status === 'ready') redis.ping().catch(() => {})
  }

  /** Releases both connections. Idempotent. */
  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#isSubscribed = false
    if (this.#watchTimer !== null) clearInterval(this.#watchTimer)
    this.#commands?.redis.disconnect()
    this.#subscriber?.redis.disconnect()
    for (const settle of [...this.#waiting]) settle()
  }

  #loseSubscriptions(): void {
    if (!this.#isSubscribed) return
    this.#isSubscribed = false
    for (const listener of this.#onUnsubscribed) listener()
  }

  async #subscribeAll(redis: RedisClient['redis']): Promise<void> {
    const channels = [...this.#handlers.keys()]
    try {
      if (channels.length > 0) await beforeDeadline(redis.subscribe(...channels), answerDeadline())
    } catch (error) {
      // Should the connection have broken, its next `ready` comes here again.
      if (this.#state === 'open') this.#report(error, 'subscriber')
      this.renewSubscriber()
      return
    }
    // The connection may have broken between the answer and this turn.
    if (this.#state !== 'open' || redis.status !== 'ready') return
    this.#isSubscribed = true
    for (const listener of this.#onSubscribed) listener()
  }

  #createClient(purpose: Purpose): RedisClient {
    const client = createClient(this.address, purpose, this.#locator)
    client.redis.on('error', (error: unknown) => this.#report(error, purpose))
    // Not to be expected. But if the client gave up, this gateway would be without Redis for good.
    client.redis.on('end', () => {
      if (this.#state === 'open') setTimeout(() => this.#revive(client), REVIVE_AFTER_MS).unref()
    })
    return client
  }

  #revive({ redis }: RedisClient): void {
    if (this.#state === 'open' && redis.status === 'end') redis.connect().catch(() => {})
  }

  // Leaves a server that is no primary any more.
  async #watch(): Promise<void> {
    if (this.#isWatching) return
    this.#isWatching = true
    try {
      const { host, port } = await this.#locator.locate()
      for (const client of [this.#commands, this.#subscriber]) {
        const isElsewhere = client?.server?.host !== host || client.server.port !== port
        if (client?.redis.status === 'ready' && isElsewhere) client.redis.disconnect(true)
      }
    } catch {
      // Without Sentinels the connections stay as they are. If one breaks, its new connection looks for Sentinels and reports.
    } finally {
      this.#isWatching = false
    }
  }

  #report(error: unknown, purpose: Purpose): void {
    if (this.#state === 'open') this.#options.onTrouble?.(withoutCommand(error), purpose)
  }
}

function asFailure(error: unknown): Error {
  const message = messageOf(error)
  // The connection broke a moment ago, and the command was not sent.
  const wasNotSent = message.startsWith("Stream isn't writeable")
  const code = replyCode(message)
  const why = wasNotSent ? 'not connected to Redis' : `Redis refused: ${code}`
  const wrapped = wasNotSent || REFUSED.has(code) ? new RedisUnavailable(why) : new RedisUncertain(message)
  wrapped.cause = withoutCommand(error)
  return wrapped
}

// Errors of the library carry the command, and with it event data or the password.
function withoutCommand(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error))
  Reflect.deleteProperty(error, 'command')
  return error
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
