import { EventStreamParser, type StreamEvent } from '../client/event-stream.js'
import type { StreamClose, StreamGap, StreamOpen } from '../stream/control.js'
import { type Command, Failure, text, type Values, whole } from './command.js'
import { REMOTE_FLAGS, reasonOf, refusalOf, remoteHeaders, remoteUrl } from './remote.js'

const FIRST_DELAY_MS = 500
const MAX_DELAY_MS = 15_000
const HEAD_TIMEOUT_MS = 10_000
// A link that is silent for this many heartbeats counts as dead.
const SILENT_HEARTBEATS = 2.5

/** `tidings tail` */
export const tail: Command = {
  summary: 'print events as they come, one JSON line each; reconnects and resumes, says on stderr what was lost',
  flags: {
    user: { type: 'string', value: 'ID', about: 'whose stream, where the gateway is open' },
    rooms: { type: 'string', value: 'A,B', about: 'rooms to follow beside the own one and *' },
    ticket: { type: 'string', value: 'TICKET', about: 'instead of --key' },
    since: { type: 'string', value: 'EVENT-ID', about: 'start after this event' },
    count: { type: 'string', value: 'N', about: 'end after N events' },
    raw: { type: 'boolean', about: 'print the bytes of the stream instead' },
    quiet: { type: 'boolean', about: 'say nothing on stderr but losses and errors' },
    ...REMOTE_FLAGS,
  },
  examples: ['tidings tail --user 42 --rooms session:abc,hub', 'tidings tail --user 42 | jq .data'],
  run: values => new Tail(values).run(),
}

/**
 * Follows one stream through its breaks, as docs/protocol.md asks of clients.
 *
 *   connecting  the answer's head is awaited
 *   reading     bytes come; a watchdog cuts a silent link
 *   waiting     a timer runs until the next try
 *   over        `#end` was aborted: by a signal, `--count`, or a final end
 */
class Tail {
  readonly #values: Values
  readonly #count: number
  readonly #end = new AbortController()
  #lastEventId: string
  #printed = 0
  #failures = 0
  #retryMs = FIRST_DELAY_MS
  #heartbeatMs = 25_000
  #failure: Failure | null = null

  constructor(values: Values) {
    this.#values = values
    this.#count = whole(values, 'count') ?? Number.POSITIVE_INFINITY
    this.#lastEventId = text(values, 'since') ?? ''
  }

  async run(): Promise<number> {
    // A command line that makes no sense fails at once, and is not tried again.
    this.#url()
    this.#headers()
    const stop = () => this.#end.abort()
    process.once('SIGINT', stop).once('SIGTERM', stop)
    // The reader of this output closed it, as `head` does.
    process.stdout.once('error', stop)
    while (!this.#end.signal.aborted) {
      const why = await this.#readOnce()
      if (this.#end.signal.aborted) break
      const delayMs = Math.min(MAX_DELAY_MS, this.#retryMs * 2 ** Math.min(this.#failures++, 6))
      this.#say(`${why}; again in ${(delayMs / 1_000).toFixed(1)} s`)
      await this.#wait(delayMs)
    }
    if (this.#failure !== null) throw this.#failure
    return 0
  }

  // Resolves when the stream is over, with the reason in words.
  async #readOnce(): Promise<string> {
    const link = new AbortController()
    const signal = AbortSignal.any([this.#end.signal, link.signal])
    const watchdog = new Watchdog(() => link.abort(new Error('nothing came for too long')))
    try {
      watchdog.restart(HEAD_TIMEOUT_MS)
      const response = await fetch(this.#url(), { headers: this.#headers(), signal })
      if (response.status !== 200 || response.body === null) return await this.#refused(response)
      const decoder = new TextDecoder()
      const parser = new EventStreamParser(event => this.#take(event))
      parser.lastEventId = this.#lastEventId
      for await (const bytes of response.body) {
        watchdog.restart(this.#heartbeatMs * SILENT_HEARTBEATS)
        const piece = decoder.decode(bytes, { stream: true })
        if (this.#values.raw === true) process.stdout.write(piece)
        parser.push(piece)
        this.#lastEventId = parser.lastEventId
        this.#retryMs = parser.retryMs ?? this.#retryMs
        if (this.#end.signal.aborted) break
      }
      return 'the stream ended'
    } catch (error) {
      return `the connection broke: ${reasonOf(error)}`
    } finally {
      watchdog.stop()
      link.abort()
    }
  }

  async #refused(response: Response): Promise<string> {
    const why = refusalOf(response.status, await response.text())
    // Another try would get the same refusal.
    if (response.status >= 400 && response.status < 500 && response.status !== 429) this.#over(why)
    return why
  }

  #take({ id, type, data }: StreamEvent): void {
    if (this.#end.signal.aborted) return
    if (type.startsWith('stream.')) {
      this.#control({ type, data })
      return
    }
    // With envelope=true the data is {"room",...}. The id goes in as text, because parsing would change the payload.
    if (this.#values.raw !== true) process.stdout.write(`{"id":${JSON.stringify(id)},${data.slice(1)}\n`)
    if (++this.#printed >= this.#count) this.#end.abort()
  }

  #control({ type, data }: Pick<StreamEvent, 'type' | 'data'>): void {
    if (type === 'stream.open') this.#opened(JSON.parse(data))
    else if (type === 'stream.gap') {
      const { rooms, reason }: StreamGap = JSON.parse(data)
      warn(`events of ${rooms} were lost (${reason})`)
    } else if (type === 'stream.close') {
      const { reason, reconnect }: StreamClose = JSON.parse(data)
      if (reconnect === true) this.#say(`the gateway ends this stream: ${reason}`)
      else this.#over(`the gateway ended the stream for good: ${reason}`)
    } else this.#say(`${type} ${data}`)
  }

  #opened({ rooms, resumed, heartbeatMs }: StreamOpen): void {
    this.#failures = 0
    this.#retryMs = FIRST_DELAY_MS
    // A gateway of another version may not send it.
    if (typeof heartbeatMs === 'number') this.#heartbeatMs = heartbeatMs
    if (resumed === false) warn('something may be missing: the history does not reach back to the last event')
    else this.#say(resumed === true ? 'connected again, nothing missed' : `following ${rooms}`)
  }

  #over(why: string): void {
    this.#failure = new Failure(why)
    this.#end.abort()
  }

  #url(): URL {
    const url = remoteUrl(this.#values, '/v1/stream')
    for (const name of ['user', 'rooms', 'ticket']) {
      const value = text(this.#values, name)
      if (value !== undefined) url.searchParams.set(name, value)
    }
    if (this.#values.raw !== true) url.searchParams.set('envelope', 'true')
    return url
  }

  #headers(): Record<string, string> {
    const resume = this.#lastEventId === '' ? {} : { 'last-event-id': this.#lastEventId }
    return { ...remoteHeaders(this.#values), accept: 'text/event-stream', ...resume }
  }

  #say(what: string): void {
    if (this.#values.quiet !== true) warn(what)
  }

  #wait(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#end.signal.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

class Watchdog {
  readonly #bite: () => void
  #timer: NodeJS.Timeout | undefined

  constructor(bite: () => void) {
    this.#bite = bite
  }

  restart(ms: number): void {
    this.stop()
    this.#timer = setTimeout(this.#bite, ms)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

function warn(what: string): void {
  process.stderr.write(`tidings: ${what}\n`)
}
