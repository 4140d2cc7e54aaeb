import { parseCursor } from '../cursor.js'
import type { Event } from '../event.js'

// The messages of the channel, as append.lua and beacon.lua write them. Their heads are ASCII and read byte by byte, because on a busy
// bus most messages concern no reader of this replica.

const LINE_FEED = 0x0a
const KIND_EVENTS = 0x45
const KIND_BEACON = 0x42
const EPHEMERAL = 0x65

/** Events of one publish, contiguous from `seq`; `body` holds them, not read yet. */
export interface EventsMessage {
  readonly kind: 'events'
  readonly epoch: string
  /** Of the first event. */
  readonly seq: number
  readonly at: number
  readonly count: number
  readonly body: Buffer
}

/** The position of the bus when the beacon was sent. */
export interface BeaconMessage {
  readonly kind: 'beacon'
  readonly epoch: string
  readonly seq: number
  /** The sender's mark. */
  readonly mark: string
}

/**
 * Reads a message's head; `null` for bytes that are no message, which any client of this Redis may write to the channel. `body` is a view
 * into `message`.
 */
export function readMessage(message: Buffer): EventsMessage | BeaconMessage | null {
  const reader = new Reader(message, 2)
  if (message[0] === KIND_EVENTS && message[1] === LINE_FEED) {
    const epoch = reader.text()
    const seq = reader.number()
    const at = reader.number()
    const count = reader.number()
    // Past the last safe integer a position would stand still, and the next message would be taken for a hole.
    if (!(seq > 0 && count > 0 && at >= 0 && seq + count <= Number.MAX_SAFE_INTEGER && isEpoch(epoch))) return null
    return { kind: 'events', epoch, seq, at, count, body: message.subarray(reader.offset) }
  }
  if (message[0] === KIND_BEACON && message[1] === LINE_FEED) {
    const epoch = reader.text()
    const seq = reader.number()
    if (!(seq >= 0 && isEpoch(epoch))) return null
    return { kind: 'beacon', epoch, seq, mark: message.toString('latin1', reader.offset) }
  }
  return null
}

/** A message that stays valid after the socket's chunk is reused. */
export function copyOf(message: EventsMessage): EventsMessage {
  return { ...message, body: Buffer.from(message.body) }
}

/** The events of a message, in order; `null` when its body does not hold exactly as many as its head says. */
export function readEvents(message: EventsMessage): Event[] | null {
  const { body, epoch, at, count } = message
  const reader = new Reader(body, 0)
  const events: Event[] = []
  for (let i = 0; i < count; i++) {
    const room = reader.text()
    const type = reader.utf8()
    const ephemeral = reader.flag(EPHEMERAL)
    const length = reader.number()
    if (!(reader.offset + length <= body.length)) return null
    const data = reader.take(length)
    events.push({ cursor: { epoch, seq: message.seq + i }, room, type, at, data, ephemeral })
  }
  return reader.offset === body.length ? events : null
}

// The epoch hardly ever changes.
let lastEpoch = ''

function isEpoch(text: string): boolean {
  if (text === lastEpoch) return true
  if (parseCursor(`${text}-0`) === null) return false
  lastEpoch = text
  return true
}

class Reader {
  offset: number
  readonly #bytes: Buffer

  constructor(bytes: Buffer, offset: number) {
    this.#bytes = bytes
    this.offset = offset
  }

  /** The next line, which is ASCII. */
  text(): string {
    const start = this.offset
    return this.#bytes.toString('latin1', start, this.#lineEnd())
  }

  /** The next line. */
  utf8(): string {
    const start = this.offset
    return this.#bytes.toString('utf8', start, this.#lineEnd())
  }

  /** Whether the next line is this character. */
  flag(character: number): boolean {
    const start = this.offset
    return this.#lineEnd() === start + 1 && this.#bytes[start] === character
  }

  /** The next line, as digits; NaN when it holds anything else, or more than a number can. */
  number(): number {
    let value = 0
    let i = this.offset
    for (; i < this.#bytes.length; i++) {
      const digit = this.#bytes[i]! - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    const isNumber = i > this.offset && this.#bytes[i] === LINE_FEED && value <= Number.MAX_SAFE_INTEGER
    this.offset = i + 1
    return isNumber ? value : Number.NaN
  }

  /** The next `length` bytes as text. */
  take(length: number): string {
    const text = this.#bytes.toString('utf8', this.offset, this.offset + length)
    this.offset += length
    return text
  }

  // Moves past the line. Lines are short, so a look at each byte costs less than a call of indexOf.
  #lineEnd(): number {
    const bytes = this.#bytes
    let end = this.offset
    while (end < bytes.length && bytes[end] !== LINE_FEED) end++
    this.offset = end + 1
    return end
  }
}
