import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from '../helpers/ports.js'
import type { Owner } from '../helpers/scope.js'

/**
 * How bytes pass. `open`: freely. `cut`: new connections are refused, the old ones were reset. `frozen`: all bytes are held, and
 * delivered at the end. `half-open`: the client's bytes arrive, the server's are dropped.
 */
export type LinkState = 'open' | 'cut' | 'frozen' | 'half-open'

/** A TCP proxy before one server, for one or more clients. Its link breaks on command, in the ways that real links break. */
export interface Link {
  /** Clients connect to 127.0.0.1:port. */
  readonly port: number
  readonly state: LinkState
  /** Leaving `half-open` resets the connections that lost bytes: real TCP would have retransmitted or given up. */
  set(state: LinkState): void
  /** Delays every chunk by this, in both directions, and keeps their order. */
  delay(ms: number): void
  /** Resets every open connection; new ones pass. */
  reset(): void
  /** Holds the bytes that the server sends to its replicas, until dropReplication(). */
  holdReplication(): void
  /** Resets the connections of replicas; the held bytes are lost. */
  dropReplication(): void
  /** Cuts off replicas and sentinels only: the server goes on as the master of its other clients. */
  isolate(isIsolated: boolean): void
  close(): Promise<void>
}

export async function startLink(owner: Owner, targetPort: number, port?: number): Promise<Link> {
  const pairs = new Set<Pair>()
  let state: LinkState = 'open'
  let delayMs = 0
  let holdsReplication = false
  let isIsolated = false
  const server = createServer({ pauseOnConnect: true }, client => {
    if (state === 'cut') {
      client.on('error', () => {})
      client.resetAndDestroy()
      return
    }
    const rules: Rules = {
      state: () => state,
      delayMs: () => delayMs,
      holds: guest => guest === 'replica' && holdsReplication,
      refuses: guest => guest !== 'anybody' && isIsolated,
    }
    const pair = new Pair(client, connect(targetPort, '127.0.0.1'), rules, () => pairs.delete(pair))
    pairs.add(pair)
  })
  const listening = port ?? (await freePort())
  await listen(server, listening)
  const resetAll = () => {
    for (const pair of [...pairs]) pair.reset()
  }
  const close = async () => {
    resetAll()
    if (server.listening) await new Promise<void>(resolve => server.close(() => resolve()))
  }
  owner.teardown(close)
  return {
    port: listening,
    get state() {
      return state
    },
    set: next => {
      state = next
      if (next === 'cut') resetAll()
      else for (const pair of [...pairs]) pair.follow()
    },
    delay: ms => {
      delayMs = ms
    },
    reset: resetAll,
    holdReplication: () => {
      holdsReplication = true
      for (const pair of pairs) pair.follow()
    },
    dropReplication: () => {
      holdsReplication = false
      for (const pair of [...pairs]) if (pair.guest === 'replica') pair.reset()
    },
    isolate: next => {
      isIsolated = next
      for (const pair of [...pairs]) pair.follow()
    },
    close,
  }
}

interface Rules {
  state(): LinkState
  delayMs(): number
  holds(guest: Guest): boolean
  refuses(guest: Guest): boolean
}

/** The kind of client, known by its first bytes. */
type Guest = 'anybody' | 'replica' | 'sentinel'

const SNIFFED_BYTES = 2000
const HIGH_WATER_BYTES = 1 << 20

/** A client's connection and the proxy's connection to the server for it. Both end together. */
class Pair {
  guest: Guest = 'anybody'
  #client: Socket
  #server: Socket
  #rules: Rules
  #onEnd: () => void
  #lostBytes = false
  #sniffed = ''

  constructor(client: Socket, server: Socket, rules: Rules, onEnd: () => void) {
    this.#client = client
    this.#server = server
    this.#rules = rules
    this.#onEnd = onEnd
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => this.reset())
      socket.on('close', () => this.#end())
    }
    this.#pass(client, server, bytes => this.#sniff(bytes))
    this.#pass(server, client, () => {
      if (this.#rules.state() !== 'half-open') return true
      this.#lostBytes = true
      return false
    })
    this.follow()
  }

  /** Applies the link's state. */
  follow(): void {
    const state = this.#rules.state()
    if ((this.#lostBytes && state !== 'half-open') || this.#rules.refuses(this.guest)) {
      this.reset()
      return
    }
    const isFrozen = state === 'frozen'
    for (const socket of [this.#client, this.#server]) {
      const isHeld = isFrozen || (socket === this.#server && this.#rules.holds(this.guest))
      if (isHeld) socket.pause()
      else socket.resume()
    }
  }

  reset(): void {
    resetSocket(this.#client)
    resetSocket(this.#server)
    this.#end()
  }

  #pass(from: Socket, to: Socket, mayPass: (bytes: Buffer) => boolean): void {
    const acts = new DelayedQueue()
    let isFull = false
    from.on('data', bytes => {
      if (!mayPass(bytes)) return
      acts.add(this.#rules.delayMs(), () => {
        if (to.destroyed || to.write(bytes) || isFull || to.writableLength <= HIGH_WATER_BYTES) return
        isFull = true
        from.pause()
        to.once('drain', () => {
          isFull = false
          this.follow()
        })
      })
    })
    from.on('end', () => acts.add(this.#rules.delayMs(), () => to.end()))
  }

  #sniff(bytes: Buffer): boolean {
    if (this.#sniffed.length < SNIFFED_BYTES && this.guest === 'anybody') {
      this.#sniffed += bytes.toString('latin1', 0, SNIFFED_BYTES)
      // Only a replica begins with REPLCONF, and only a sentinel with CLIENT SETNAME sentinel-...
      if (/\r\nreplconf\r\n/i.test(this.#sniffed)) this.guest = 'replica'
      else if (/\r\nsentinel-[0-9a-f]{8}-(cmd|pubsub)\r\n/.test(this.#sniffed)) this.guest = 'sentinel'
      if (this.guest !== 'anybody') this.follow()
    }
    return true
  }

  #end(): void {
    this.#client.destroy()
    this.#server.destroy()
    this.#onEnd()
  }
}

function resetSocket(socket: Socket): void {
  // A socket that has sent its FIN cannot be reset, and Node would wait for its close for ever.
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** Runs tasks after their delay, in the order in which they were added. */
class DelayedQueue {
  #waiting: { dueAt: number; act: () => void }[] = []

  add(delayMs: number, act: () => void): void {
    if (delayMs === 0 && this.#waiting.length === 0) {
      act()
      return
    }
    this.#waiting.push({ dueAt: performance.now() + delayMs, act })
    if (this.#waiting.length === 1) this.#wait(delayMs)
  }

  #wait(ms: number): void {
    setTimeout(() => {
      this.#waiting.shift()?.act()
      const [next] = this.#waiting
      if (next) this.#wait(Math.max(0, next.dueAt - performance.now()))
    }, ms)
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
}
