/** An event of a stream. `id` is the position after it, `''` as long as the stream gave none. */
export interface StreamEvent {
  readonly id: string
  readonly type: string
  readonly data: string
}

/**
 * Turns the text of a stream into events, wherever the text is cut (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 * For programs without EventSource. No imports: runs anywhere.
 */
export class EventStreamParser {
  /** The value for the header `Last-Event-ID`. */
  lastEventId = ''
  /** The stream's last `retry:`, in ms; `null` before the first. */
  retryMs: number | null = null
  readonly #onEvent: (event: StreamEvent) => void
  #rest = ''
  #isStart = true
  #endedWithCr = false
  #id: string | null = null
  #type = ''
  #data: string | null = null

  constructor(onEvent: (event: StreamEvent) => void) {
    this.#onEvent = onEvent
  }

  /** Takes the next piece of text. */
  push(text: string): void {
    let piece = text
    if (piece === '') return
    if (this.#isStart && piece.startsWith('\ufeff')) piece = piece.slice(1)
    this.#isStart = false
    // The LF of a CR LF that was cut in two.
    if (this.#endedWithCr && piece.startsWith('\n')) piece = piece.slice(1)
    if (piece !== '') this.#endedWithCr = piece.endsWith('\r')
    const lines = (this.#rest + piece).split(/\r\n|\r|\n/)
    this.#rest = lines.pop()!
    for (const line of lines) this.#take(line)
  }

  #take(line: string): void {
    if (line === '') {
      this.#dispatch()
      return
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'data') this.#data = this.#data === null ? value : `${this.#data}\n${value}`
    else if (field === 'event') this.#type = value
    else if (field === 'id' && !value.includes('\0')) this.#id = value
    else if (field === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value)
  }

  #dispatch(): void {
    const [id, type, data] = [this.#id, this.#type, this.#data]
    this.#id = null
    this.#type = ''
    this.#data = null
    if (id !== null) this.lastEventId = id
    if (data !== null) this.#onEvent({ id: this.lastEventId, type: type === '' ? 'message' : type, data })
  }
}
