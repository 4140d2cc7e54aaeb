import { connect as connectTcp, isIP } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { AbstractConnector, Redis } from 'ioredis'
import type { RedisHost, RedisLocator } from './locator.js'
import type { RedisAddress } from './url.js'

// One kind of client for a single Redis, a Sentinel set and a cluster: a connection to one server, which is looked up anew for each
// connection. A bus lives in one slot, so of a cluster only the owner of that slot matters. The library's own cluster client repeats
// commands by itself, which would publish twice. Its Sentinel client subscribes to Sentinels in a way that ends the process when a Sentinel
// breaks off.

const CONNECT_TIMEOUT_MS = 5_000
const DISCONNECT_TIMEOUT_MS = 500
const SILENCE_TIMEOUT_MS = 5_000
const RETRY_MIN_MS = 100
const RETRY_MAX_MS = 2_000

// Error codes of a server that is not the primary any more, or not the owner of the slot.
const ELSEWHERE = new Set(['READONLY', 'MOVED', 'CLUSTERDOWN', 'MASTERDOWN'])

// Redis 6.2 wraps the error that stopped a script: 'ERR Error running script (call to ...): ...: -READONLY You can't write ...'.
const CODE = /^(?:ERR Error running script .*?: -)?([A-Z]+)\b/

/** The use of a connection. */
export type Purpose = 'commands' | 'subscriber'

/** A connection that reconnects by itself until it is closed. It queues no command while it is away. */
export interface RedisClient {
  readonly redis: Redis
  /** The server of the current connection; between two, of the last one or of the next. */
  readonly server: RedisHost | null
}

/** Connects in the background to the server that `locator` finds, and again after each break, until `redis.disconnect()`. */
export function createClient(address: RedisAddress, purpose: Purpose, locator: RedisLocator): RedisClient {
  const { kind, tls, username, password, db } = address
  let server: RedisHost | null = null

  class LocatedConnector extends AbstractConnector {
    #stop = new AbortController()

    constructor() {
      super(DISCONNECT_TIMEOUT_MS)
    }

    // An error would end the client for good, so this goes on until there is a server.
    override async connect(emit: (event: string, error: Error) => void) {
      this.connecting = true
      this.#stop = new AbortController()
      const { signal } = this.#stop
      for (let attempt = 1; ; attempt++) {
        try {
          server = await locator.locate()
        } catch (error) {
          emit('error', error instanceof Error ? error : new Error(String(error)))
          await delay(retryDelayMs(attempt), undefined, { signal }).catch(() => {})
          server = null
        }
        if (signal.aborted) throw new Error('Connection is closed.')
        if (server === null) continue
        this.stream = tls ? connectTls(tlsOptions(server)) : connectTcp(server)
        this.stream.once('error', error => {
          this.firstError = error
        })
        return this.stream
      }
    }

    // The server may have been demoted since the locator heard of it.
    override check(info: { role?: string }): boolean {
      return kind === 'single' || info.role === undefined || info.role === 'master'
    }

    override disconnect(): void {
      this.#stop.abort()
      super.disconnect()
    }
  }

  const redis = new Redis({
    Connector: LocatedConnector,
    ...(tls ? { tls: {} } : {}),
    protocol: 2,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    db,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // This timeout notices a frozen server. The bus's beacon, once a second, keeps a healthy connection from being silent.
    socketTimeout: SILENCE_TIMEOUT_MS,
    // No command may be sent late or twice: its caller was told that it failed.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // A rejected automatic SUBSCRIBE would kill the process; `ready` is the place to subscribe and to catch up.
    autoResubscribe: false,
    // Each pipeline would wait for the one before it: behind a server that froze, an answer would take two timeouts.
    enableAutoPipelining: false,
    disableClientInfo: true,
    connectionName: `tidings-${purpose}`,
    retryStrategy: retryDelayMs,
    reconnectOnError: error => ELSEWHERE.has(replyCode(error.message)),
  })
  return {
    redis,
    get server() {
      return server
    },
  }
}

/** The code that an error reply begins with, such as `READONLY`; empty when it has none. */
export function replyCode(message: string): string {
  return CODE.exec(message)?.[1] ?? ''
}

// The server's name is sent along where it has one (SNI), because several servers may stand behind one address.
function tlsOptions({ host, port }: RedisHost) {
  return { host, port, ...(isIP(host) === 0 ? { servername: host } : {}) }
}

function retryDelayMs(attempt: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(attempt, 10)) * (0.75 + Math.random() * 0.5)
}
