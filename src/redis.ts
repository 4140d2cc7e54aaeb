import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Cluster, Redis } from 'ioredis'
import { BusUnavailable, BusUncertain } from './errors.js'
import { describeRedis, parseRedisUrl, type RedisAddress } from './redis-url.js'

// The only file that knows the Redis library: clients, key names, scripts.

/** A client of one Redis, a Sentinel set or a cluster. */
export type RedisClient = Redis | Cluster

/** How long a command may take, in ms: an answer over HTTP must come within 2 s. */
export const COMMAND_TIMEOUT_MS = 1_500
const CONNECT_TIMEOUT_MS = 5_000
const SILENCE_TIMEOUT_MS = 5_000
const RETRY_MIN_MS = 100
const RETRY_MAX_MS = 2_000

// Replies that say the command was refused before it did anything.
const REFUSED =
  /^(READONLY|LOADING|MASTERDOWN|OOM|NOREPLICAS|CLUSTERDOWN|MISCONF|NOAUTH|NOPERM|WRONGPASS|BUSY|TRYAGAIN|MOVED|ASK|DENIED)\b/

/** The channels and keys of one bus. They share a hash tag, so that they live in one slot of a cluster. */
export class RedisNames {
  readonly #base: string

  constructor(prefix: string) {
    this.#base = `${prefix}{0}:`
  }

  /** Hash: life, epoch, seq, replid and lineage of the counter. */
  get state(): string {
    return `${this.#base}state`
  }

  /** Channel of events and beacons. */
  get events(): string {
    return `${this.#base}events`
  }

  /** Sorted set: room -> seq of its last event; the empty member holds the highest seq forgotten. */
  rooms(life: string): string {
    return `${this.#base}${life}:rooms`
  }

  /** Stream: a room's history. */
  history(life: string, room: string): string {
    return `${this.#base}${life}:h:${room}`
  }

  /** String: the first answer to an idempotency key. */
  key(key: string): string {
    return `${this.#base}k:${key}`
  }

  /** Any other key or channel of this bus. */
  other(name: string): string {
    return `${this.#base}${name}`
  }
}

/** A Lua script by its text and digest. */
export class RedisScript {
  readonly #source: string
  readonly #digest: string

  constructor(source: string) {
    this.#source = source
    this.#digest = createHash('sha1').update(source).digest('hex')
  }

  /** Runs it, and loads it first where the server does not have it. Errors are the client's. */
  async run(client: RedisClient, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await client.evalsha(this.#digest, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return client.eval(this.#source, keys.length, ...keys, ...args)
    }
  }
}

/** Reads scripts that stand beside a module and joins them, first to last. */
export function loadScript(moduleUrl: string, ...files: string[]): RedisScript {
  return new RedisScript(files.map(file => readFileSync(new URL(file, moduleUrl), 'utf8')).join('\n'))
}

/** Surroundings of a link. */
export interface RedisLinkOptions {
  readonly url: string
  /** Told of trouble and its end, for logs; messages hold no credential. */
  readonly onTrouble?: (error: Error, connection: 'commands' | 'subscriber') => void
}

/**
 * The two connections to Redis: one for commands, one that subscribes. Each reconnects by itself for as long as the link is
 * open; nothing is queued while it is away.
 *
 *   new      no connection
 *   open     from `connect()` on; `isReady` and `isSubscriberReady` tell which connections work
 *   closed   from `close()` on
 */
export class RedisLink {
  readonly address: RedisAddress
  readonly description: string
  readonly #options: RedisLinkOptions
  #commands: RedisClient | null = null
  #subscriber: RedisClient | null = null
  readonly #handlers = new Map<string, (message: Buffer) => void>()
  readonly #onSubscribed: (() => void)[] = []
  readonly #onUnsubscribed: (() => void)[] = []
  readonly #onReady: (() => void)[] = []
  #isSubscribed = false
  #isClosed = false

  /** @throws TypeError  when the URL is not one; it never quotes the URL */
  constructor(options: RedisLinkOptions) {
    this.#options = options
    this.address = parseRedisUrl(options.url)
    this.description = describeRedis(this.address)
  }

  /** True while commands can be sent. */
  get isReady(): boolean {
    return this.#commands?.status === 'ready'
  }

  /** True while every channel is subscribed. */
  get isSubscriberReady(): boolean {
    return this.#isSubscribed
  }

  /** The client for commands, for libraries that need one; `null` before `connect()`. */
  get commands(): RedisClient | null {
    return this.#commands
  }

  /** Makes messages of `channel` reach `onMessage`; the Buffer is only valid during the call. To be called before `connect()`. */
  subscribe(channel: string, onMessage: (message: Buffer) => void): void {
    this.#handlers.set(channel, onMessage)
  }

  /** Calls `listener` each time all channels were subscribed anew: what was published before may have been missed. */
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
   * @throws BusUnavailable  not within `timeoutMs`, or the link was closed
   */
  async whenReady(timeoutMs: number): Promise<void> {
    const client = this.#commands
    if (client === null || this.isReady) return
    await new Promise<void>((resolve, reject) => {
      const settle = (outcome: () => void) => () => {
        clearTimeout(timer)
        client.off('ready', succeed)
        client.off('end', fail)
        outcome()
      }
      const succeed = settle(resolve)
      const fail = settle(() => reject(new BusUnavailable(`no connection to Redis at ${this.description}`)))
      const timer = setTimeout(fail, timeoutMs)
      client.on('ready', succeed)
      client.on('end', fail)
    })
  }

  /** Starts both connections; they come up in the background. */
  connect(options: { subscriber: boolean } = { subscriber: true }): void {
    this.#commands = this.#createClient('commands')
    this.#commands.on('ready', () => {
      for (const listener of this.#onReady) listener()
    })
    if (!options.subscriber) return
    this.#subscriber = this.#createClient('subscriber')
    this.#subscriber.on('ready', () => this.#subscribeAll())
    this.#subscriber.on('close', () => this.#loseSubscriptions())
    this.#subscriber.on('messageBuffer', (channel: Buffer, message: Buffer) => {
      this.#handlers.get(channel.toString('latin1'))?.(message)
    })
  }

  /**
   * Runs a script.
   * @throws BusUnavailable  it did not run: not connected, or refused by the server
   * @throws BusUncertain    it may have run: the connection died, or no answer came in time
   */
  async run(script: RedisScript, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    const client = this.#commands
    if (client === null || client.status !== 'ready') throw new BusUnavailable('not connected to Redis')
    try {
      return await script.run(client, keys, args)
    } catch (error) {
      throw asBusError(error)
    }
  }

  /**
   * Waits until the writes sent before on this connection reached `replicas` replicas.
   * @returns how many have them
   */
  async waitForReplicas(replicas: number, timeoutMs: number): Promise<number> {
    const client = this.#commands
    if (client === null || client.status !== 'ready') throw new BusUncertain('the connection to Redis was lost')
    try {
      return Number(await client.call('WAIT', replicas, timeoutMs))
    } catch (error) {
      throw new BusUncertain(messageOf(error))
    }
  }

  /** Tears the subscriber down and makes it again: it is connected but what is published does not arrive. */
  renewSubscriber(): void {
    this.#loseSubscriptions()
    this.#subscriber?.disconnect(true)
  }

  /** Proves to the subscriber's silence timeout that the server lives. */
  pingSubscriber(): void {
    if (this.#subscriber?.status === 'ready') this.#subscriber.ping().catch(() => {})
  }

  /** Releases both connections. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#isSubscribed = false
    this.#commands?.disconnect()
    this.#subscriber?.disconnect()
  }

  #loseSubscriptions(): void {
    if (!this.#isSubscribed) return
    this.#isSubscribed = false
    for (const listener of this.#onUnsubscribed) listener()
  }

  async #subscribeAll(): Promise<void> {
    const channels = [...this.#handlers.keys()]
    try {
      if (channels.length > 0) await this.#subscriber!.subscribe(...channels)
    } catch (error) {
      // The connection broke again; its next `ready` comes here again.
      if (!this.#isClosed) this.#report(error, 'subscriber')
      this.renewSubscriber()
      return
    }
    if (this.#isClosed) return
    this.#isSubscribed = true
    for (const listener of this.#onSubscribed) listener()
  }

  #createClient(connection: 'commands' | 'subscriber'): RedisClient {
    const { kind, tls, username, password, hosts, name, db, sentinelPassword } = this.address
    const common = {
      protocol: 2 as const,
      username,
      password,
      db,
      connectTimeout: CONNECT_TIMEOUT_MS,
      // A frozen server would otherwise never be noticed; a beat a second keeps a healthy connection from being silent.
      socketTimeout: SILENCE_TIMEOUT_MS,
      commandTimeout: COMMAND_TIMEOUT_MS,
      // Nothing may be sent later than it was asked for, or twice: the caller was told that it failed.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      // A rejected automatic SUBSCRIBE would kill the process; `ready` is the place to subscribe and to catch up.
      autoResubscribe: false,
      enableAutoPipelining: connection === 'commands' && kind !== 'cluster',
      disableClientInfo: true,
      connectionName: `tidings-${connection}`,
      retryStrategy: retryDelayMs,
      // A primary that was demoted: ask again who is the primary.
      reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
    }
    const secure = tls ? { tls: {} } : {}
    let client: RedisClient
    if (kind === 'cluster') {
      client = new Cluster([...hosts], {
        redisOptions: { ...common, ...secure },
        enableOfflineQueue: false,
        clusterRetryStrategy: retryDelayMs,
      })
    } else if (kind === 'sentinel') {
      client = new Redis({
        ...common,
        ...secure,
        sentinels: [...hosts],
        name,
        role: 'master',
        sentinelPassword,
        sentinelRetryStrategy: retryDelayMs,
        sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
        enableTLSForSentinelMode: tls,
        // Hears of a failover from the Sentinels, not only from a broken connection.
        failoverDetector: true,
      })
    } else {
      client = new Redis({ ...common, ...secure, host: hosts[0]!.host, port: hosts[0]!.port })
    }
    client.on('error', (error: unknown) => this.#report(error, connection))
    return client
  }

  #report(error: unknown, connection: 'commands' | 'subscriber'): void {
    if (this.#isClosed) return
    this.#options.onTrouble?.(error instanceof Error ? error : new Error(String(error)), connection)
  }
}

function retryDelayMs(attempt: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(attempt, 10)) * (0.75 + Math.random() * 0.5)
}

function asBusError(error: unknown): Error {
  const message = messageOf(error)
  const wasRefused = REFUSED.test(message) || message.startsWith("Stream isn't writeable")
  const wrapped = wasRefused ? new BusUnavailable(`Redis refused: ${message.split(' ')[0]}`) : new BusUncertain(message)
  wrapped.cause = error
  return wrapped
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
