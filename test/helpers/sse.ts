import { connect, type Socket } from 'node:net'
import { BodyDecoder, parseHead, type ResponseHead } from './http-response.js'
import type { Owner } from './scope.js'
import { type SseBlock, type SseEvent, SseParser } from './sse-parser.js'

export interface OpenOptions {
  headers?: Record<string, string>
  /** Sent as Last-Event-ID. */
  lastEventId?: string
  /** Deadline of the response head. Default 5000. */
  timeoutMs?: number
  /** Called with every block as it comes, and with the event that it dispatches. */
  onBlock?: (block: SseBlock, event: SseEvent | undefined) => void
  /** Keeps `raw`, `blocks` and `events`. Default true. */
  keep?: boolean
}

/** One open stream, down to its bytes. Its fields grow as the bytes come. */
export interface StreamReader {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** The status line and the headers as they came. */
  readonly head: string
  /** The body so far, without chunk framing. */
  readonly raw: string
  readonly blocks: readonly SseBlock[]
  readonly events: readonly SseEvent[]
  /** A browser would send this as Last-Event-ID now. */
  readonly lastEventId: string
  readonly retryMs: number | undefined
  /** True once the connection is over, whichever side ended it. */
  readonly destroyed: boolean
  /** Resolves when the connection is over: 'end' by the server, 'error' by a reset, 'closed' by close(). */
  readonly ended: Promise<'end' | 'error' | 'closed'>
  /** The next event after the one that next() last returned; with `type`, the next of that type. Default deadline 5000 ms. */
  next(type?: string, ms?: number): Promise<SseEvent>
  /** Resolves when `predicate` holds, which is checked after every chunk. Default deadline 5000 ms. */
  waitFor(predicate: (stream: StreamReader) => boolean, ms?: number, what?: string): Promise<void>
  /** Stops reading, so that bytes back up in the server (back-pressure). */
  pause(): void
  resume(): void
  /** Ends the connection with a FIN. */
  close(): void
  /** Ends the connection with a RST. */
  reset(): void
}

/**
 * Opens a stream over a socket of its own and resolves once the response head is there, whatever its status.
 * @throws Error  when the connection fails before that, or after `timeoutMs`
 */
export function openStream(owner: Owner, url: string, options: OpenOptions = {}): Promise<StreamReader> {
  const reader = new Reader(url, options)
  owner.teardown(() => reader.close())
  return reader.opened
}

/** The same without an owner: the caller must call `close()`. */
export function openRawStream(url: string, options: OpenOptions = {}): Promise<StreamReader> {
  return new Reader(url, options).opened
}

class Reader implements StreamReader {
  readonly opened: Promise<StreamReader>
  readonly ended: Promise<'end' | 'error' | 'closed'>
  readonly blocks: SseBlock[] = []
  readonly events: SseEvent[] = []
  raw = ''
  #socket: Socket
  #head: ResponseHead | undefined
  #headBytes = Buffer.alloc(0)
  #body: BodyDecoder | undefined
  #parser: SseParser
  #taken = 0
  #isClosed = false
  #keep: boolean
  #watchers = new Set<() => void>()

  constructor(url: string, options: OpenOptions) {
    const { hostname, port, pathname, search, host } = new URL(url)
    const { headers = {}, lastEventId, timeoutMs = 5000, onBlock, keep = true } = options
    this.#keep = keep
    this.#parser = new SseParser((block, event) => {
      if (keep) this.blocks.push(block)
      if (keep && event) this.events.push(event)
      onBlock?.(block, event)
    })
    if (lastEventId) this.#parser.lastEventId = lastEventId
    this.#socket = connect(Number(port || 80), hostname)
    this.#socket.setNoDelay(true)
    const fields = { Host: host, Accept: 'text/event-stream', 'Cache-Control': 'no-cache', ...headers }
    const last = lastEventId ? { 'Last-Event-ID': lastEventId } : {}
    const lines = Object.entries({ ...fields, ...last }).map(([name, value]) => `${name}: ${value}\r\n`)
    this.#socket.write(`GET ${pathname}${search} HTTP/1.1\r\n${lines.join('')}\r\n`)

    this.opened = new Promise((resolve, reject) => {
      const late = () => this.#socket.destroy(new Error(`GET ${url}: no response head within ${timeoutMs} ms`))
      const timer = setTimeout(late, timeoutMs)
      this.#socket.once('error', reject)
      this.#socket.once('close', () => {
        clearTimeout(timer)
        reject(new Error(`GET ${url}: the connection closed before the response head`))
      })
      this.#socket.on('data', bytes => {
        if (!this.#head) this.#receiveHead(bytes)
        else this.#receiveBody(bytes)
        if (this.#head) {
          clearTimeout(timer)
          resolve(this)
        }
        this.#notify()
      })
    })
    this.ended = new Promise(resolve => {
      let outcome: 'end' | 'error' = 'end'
      const over = () => resolve(this.#isClosed ? 'closed' : outcome)
      this.#socket.once('error', () => {
        outcome = 'error'
        // If the peer has ended the connection already, the kernel refuses the reset. Node then emits an error and never 'close'.
        setImmediate(over)
      })
      this.#socket.once('close', over)
    })
    this.#socket.once('close', () => this.#notify())
  }

  get status() {
    return this.#head?.status ?? 0
  }

  get headers() {
    return this.#head?.headers ?? {}
  }

  get head() {
    return this.#head?.text ?? ''
  }

  get lastEventId() {
    return this.#parser.lastEventId
  }

  get retryMs() {
    return this.#parser.retryMs
  }

  get destroyed() {
    return this.#socket.destroyed
  }

  async next(type?: string, ms = 5000): Promise<SseEvent> {
    const isWanted = (event: SseEvent, index: number) => index >= this.#taken && (!type || event.type === type)
    await this.waitFor(() => this.events.some(isWanted), ms, `the next event${type ? ` '${type}'` : ''}`)
    const index = this.events.findIndex(isWanted)
    this.#taken = index + 1
    return this.events[index]! // waitFor() has found it
  }

  waitFor(predicate: (stream: StreamReader) => boolean, ms = 5000, what = 'the condition'): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(timer)
        this.#watchers.delete(look)
        settle()
      }
      const fail = (why: string) =>
        end(() => reject(new Error(`${why} ${what}; the stream's last bytes: ${JSON.stringify(this.raw.slice(-300))}`)))
      const look = () => {
        if (predicate(this)) end(resolve)
        else if (this.#socket.destroyed) fail('the stream ended before')
      }
      const timer = setTimeout(() => fail(`waited ${ms} ms in vain for`), ms)
      this.#watchers.add(look)
      look()
    })
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  close(): void {
    this.#isClosed = true
    this.#socket.destroy()
  }

  reset(): void {
    this.#isClosed = true
    this.#socket.resetAndDestroy()
  }

  #receiveHead(bytes: Buffer): void {
    this.#headBytes = Buffer.concat([this.#headBytes, bytes])
    const end = this.#headBytes.indexOf('\r\n\r\n')
    if (end < 0) return
    this.#head = parseHead(this.#headBytes.toString('latin1', 0, end + 4))
    this.#body = new BodyDecoder(this.#head)
    const rest = this.#headBytes.subarray(end + 4)
    this.#headBytes = Buffer.alloc(0)
    if (rest.length > 0) this.#receiveBody(rest)
  }

  #receiveBody(bytes: Buffer): void {
    const body = this.#body!.push(bytes) // the head has set it
    if (this.#keep) this.raw += body.toString('utf8')
    if (this.#head?.headers['content-type']?.startsWith('text/event-stream')) this.#parser.push(body)
    if (this.#body!.isWhole) this.#socket.destroy()
  }

  #notify(): void {
    for (const look of this.#watchers) look()
  }
}
