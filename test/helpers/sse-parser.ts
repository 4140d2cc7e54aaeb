import { StringDecoder } from 'node:string_decoder'

/** The lines of a text/event-stream between two blank lines. A block need not dispatch an event. */
export interface SseBlock {
  /** The block as it came, with its blank line. */
  text: string
  id?: string
  event?: string
  data?: string
  retry?: number
  comments: string[]
}

/** An event as EventSource would dispatch it. `id` is the last event id at that moment, '' before the first. */
export interface SseEvent {
  id: string
  type: string
  data: string
}

const LINE = /[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$/g
const LINE_END = /(?:\r\n|\r|\n)$/

/** Parses text/event-stream as the HTML standard says, however the bytes are cut. https://html.spec.whatwg.org/#parsing-an-event-stream */
export class SseParser {
  /** A browser would send this as Last-Event-ID. */
  lastEventId = ''
  /** The stream's last `retry:`. */
  retryMs: number | undefined
  #onBlock: (block: SseBlock, event: SseEvent | undefined) => void
  #decoder = new StringDecoder('utf8')
  #isFirstText = true
  #skipsLineFeed = false
  #rest = ''
  #block: SseBlock = { text: '', comments: [] }

  constructor(onBlock: (block: SseBlock, event: SseEvent | undefined) => void) {
    this.#onBlock = onBlock
  }

  push(bytes: Buffer): void {
    let text = this.#decoder.write(bytes)
    if (text === '') return
    if (this.#isFirstText) {
      this.#isFirstText = false
      if (text.startsWith('\uFEFF')) text = text.slice(1)
    }
    // A CR ends its line at once. If an LF comes next, it belongs to the same line end.
    if (this.#skipsLineFeed && text.startsWith('\n')) text = text.slice(1)
    this.#skipsLineFeed = text.endsWith('\r')
    const lines = (this.#rest + text).match(LINE) ?? []
    this.#rest = LINE_END.test(lines.at(-1) ?? '\n') ? '' : (lines.pop() ?? '')
    for (const line of lines) this.#line(line.replace(LINE_END, ''), line)
  }

  #line(line: string, raw: string): void {
    const block = this.#block
    block.text += raw
    if (line === '') {
      this.#dispatch()
      return
    }
    const colon = line.indexOf(':')
    if (colon === 0) {
      block.comments.push(line.slice(1))
      return
    }
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') block.event = value
    else if (field === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`
    else if (field === 'id' && !value.includes('\0')) block.id = value
    else if (field === 'retry' && /^[0-9]+$/.test(value)) {
      block.retry = Number(value)
      // The standard applies retry at its line, not at the blank line.
      this.retryMs = block.retry
    }
  }

  #dispatch(): void {
    const block = this.#block
    this.#block = { text: '', comments: [] }
    if (block.id !== undefined) this.lastEventId = block.id
    // A block without a data line dispatches no event; one with an empty data line dispatches an event with empty data.
    const event =
      block.data === undefined ? undefined : { id: this.lastEventId, type: block.event || 'message', data: block.data }
    this.#onBlock(block, event)
  }
}
