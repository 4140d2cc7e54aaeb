import { setTimeout as wait } from 'node:timers/promises'
import type { Owner } from './scope.js'
import { openRawStream, type StreamReader } from './sse.js'
import type { SseBlock, SseEvent } from './sse-parser.js'

/** One thing that happened to a reader. `at` is performance.now(). */
export type Sight = { at: number; url: string } & What

type What =
  | { kind: 'connect'; lastEventId: string }
  | { kind: 'refused'; reason: string }
  | { kind: 'open'; id: string; data: string }
  | { kind: 'event'; event: SseEvent }
  | { kind: 'gap'; id: string; data: string }
  | { kind: 'close'; data: string }
  | { kind: 'position'; id: string }
  | { kind: 'ended' }
  | { kind: 'failed'; status: number }

export interface ResumingOptions {
  headers?: Record<string, string>
  /** The delay before a reconnect, until a stream sets it by `retry:`. Default 100; browsers use 3000. */
  retryMs?: number
  /** Called with every sight as it comes. */
  onSight?: (sight: Sight) => void
  /** Keeps `sights` and `events`. Default true. */
  keep?: boolean
  /** An attempt whose response head takes longer counts as refused. Default 10000. */
  timeoutMs?: number
}

/**
 * Reads a stream as a browser's EventSource does. Whenever the connection ends or is refused, it reconnects after the stream's
 * `retry:` with its Last-Event-ID. It gives up for good on any answer other than a 200 text/event-stream.
 *
 * States: reading (from the start) -> failed (`failure` holds the status) or closed (by close()).
 * With several URLs each attempt takes the next one, as behind a load balancer.
 */
export class ResumingReader {
  readonly sights: Sight[] = []
  /** Every event, control events included. */
  readonly events: SseEvent[] = []
  lastEventId = ''
  /** The HTTP status that made it give up. */
  failure: number | undefined
  /** How many streams it has opened. */
  opens = 0
  #next: () => string
  #options: ResumingOptions
  #retryMs: number
  #url = ''
  #stream: StreamReader | undefined
  #isPaused = false
  #isOffline = false
  #wake: (() => void) | undefined
  #stop = new AbortController()
  #done: Promise<void>

  constructor(owner: Owner, urls: string | string[] | (() => string), options: ResumingOptions = {}) {
    this.#next = typeof urls === 'function' ? urls : roundRobin(urls)
    this.#options = options
    this.#retryMs = options.retryMs ?? 100
    this.#done = this.#run()
    owner.teardown(() => this.close())
  }

  /** The URL of the current connection or attempt. */
  get url(): string {
    return this.#url
  }

  /** Breaks the current connection, as a network does; the reader comes back by itself. */
  breakLink(): void {
    this.#stream?.reset()
  }

  /** Breaks the current connection and makes no other one until goOnline(). */
  goOffline(): void {
    this.#isOffline = true
    this.breakLink()
  }

  goOnline(): void {
    this.#isOffline = false
    this.#wake?.()
  }

  /** Stops reading, on this connection and later ones, so that bytes back up in the server (back-pressure). */
  pause(): void {
    this.#isPaused = true
    this.#stream?.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#stream?.resume()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.goOnline()
    this.#stream?.close()
    await this.#done
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted && this.failure === undefined) {
      if (this.#isOffline) {
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
      }
      if (this.#stop.signal.aborted) return
      await this.#readOnce()
      if (this.failure !== undefined) return
      await wait(this.#retryMs, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  async #readOnce(): Promise<void> {
    this.#url = this.#next()
    const { headers = {}, timeoutMs = 10_000 } = this.#options
    const onBlock = (block: SseBlock, event: SseEvent | undefined) => this.#take(block, event)
    this.#see({ kind: 'connect', lastEventId: this.lastEventId })
    try {
      const resume = this.lastEventId ? { lastEventId: this.lastEventId } : {}
      const stream = await openRawStream(this.#url, { headers, timeoutMs, onBlock, keep: false, ...resume })
      await this.#follow(stream)
    } catch (error) {
      this.#see({ kind: 'refused', reason: String(error) })
    }
  }

  async #follow(stream: StreamReader): Promise<void> {
    this.#stream = stream
    if (this.#stop.signal.aborted) stream.close()
    if (this.#isPaused) stream.pause()
    if (stream.status !== 200 || !stream.headers['content-type']?.startsWith('text/event-stream')) {
      this.failure = stream.status
      this.#see({ kind: 'failed', status: stream.status })
      stream.close()
    }
    await stream.ended
    this.#stream = undefined
    this.#see({ kind: 'ended' })
  }

  #take(block: SseBlock, event: SseEvent | undefined): void {
    if (block.id !== undefined) this.lastEventId = block.id
    if (block.retry !== undefined) this.#retryMs = block.retry
    if (event) {
      if (this.#options.keep !== false) this.events.push(event)
      this.#see(sightOf(block, event))
    } else if (block.id !== undefined) {
      this.#see({ kind: 'position', id: block.id })
    }
  }

  #see(what: What): void {
    if (what.kind === 'open') this.opens++
    const sight: Sight = { at: performance.now(), url: this.#url, ...what }
    if (this.#options.keep !== false) this.sights.push(sight)
    this.#options.onSight?.(sight)
  }
}

/** `id` is the block's own id, '' without one. */
function sightOf({ id = '' }: SseBlock, event: SseEvent): What {
  switch (event.type) {
    case 'stream.open':
      return { kind: 'open', id, data: event.data }
    case 'stream.gap':
      return { kind: 'gap', id, data: event.data }
    case 'stream.close':
      return { kind: 'close', data: event.data }
    default:
      return { kind: 'event', event }
  }
}

function roundRobin(urls: string | string[]): () => string {
  const list = [urls].flat()
  let turn = 0
  return () => list[turn++ % list.length]!
}
