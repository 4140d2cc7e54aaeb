import { type Cursor, formatCursor } from '../cursor.js'
import type { Event } from '../event.js'
import type { CloseReason } from './close-reason.js'
import { type ControlEvents, closeOf, formatControl } from './control.js'

// Pure: events and control events to text/event-stream bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html, docs/protocol.md).

/** An empty comment: it proves that the link is alive and moves nothing. */
export const COMMENT_FRAME = Buffer.from(':\n\n')

const BREAKS = /\r\n|\r|\n/
// biome-ignore lint/suspicious/noControlCharactersInRegex: these end a field or void an id
const BAD_IN_FIELD = /[\r\n\u0000]/

/**
 * The bytes of one event: `id`, `event` and a `data` line for each line of the payload. JSON stays as published; a JSON
 * string is shown as the lines of its text. With `envelope`, data is `{"room","type","at","data"}` in one line.
 * @throws TypeError  id or type could break the frame; the doors refuse such events before
 */
export function encodeEvent(event: Event, envelope: boolean): Buffer {
  const head = `id: ${idOf(event.cursor)}\nevent: ${field(event.type, 'event')}\n`
  return Buffer.from(`${head}${envelope ? `data: ${envelopeOf(event)}\n` : dataLines(event.data)}\n`)
}

/** The bytes of a control event; `id` is left out where the reader's position must not move. */
export function encodeControl<Type extends keyof ControlEvents>(
  type: Type,
  data: ControlEvents[Type],
  id: Cursor | null = null,
): Buffer {
  return Buffer.from(formatControl(type, data, id === null ? null : idOf(id)))
}

/** The bytes of `stream.close`, the last event of a stream: why it ends, and when to come back. `message` is for people. */
export function encodeClose(reason: CloseReason, retryMs: number, message?: string): Buffer {
  return encodeControl('stream.close', closeOf(reason, retryMs, message))
}

/** A block that moves the reader's last event id and dispatches nothing. */
export function encodeHeartbeat(cursor: Cursor): Buffer {
  return Buffer.from(`id: ${idOf(cursor)}\n\n`)
}

function idOf(cursor: Cursor): string {
  return field(formatCursor(cursor), 'id')
}

function field(value: string, name: string): string {
  if (BAD_IN_FIELD.test(value)) throw new TypeError(`${name} ${JSON.stringify(value)} must not hold CR, LF or NUL`)
  return value
}

function envelopeOf(event: Event): string {
  return `{"room":${JSON.stringify(event.room)},"type":${JSON.stringify(event.type)},"at":${event.at},"data":${event.data}}`
}

function dataLines(json: string): string {
  if (json.charCodeAt(0) !== 0x22) {
    if (BREAKS.test(json)) throw new TypeError('JSON data must stand in one line')
    return `data: ${json}\n`
  }
  // Safe: data is valid JSON text that starts with a quote, so it is a string.
  const text = JSON.parse(json) as string
  if (!BREAKS.test(text)) return `data: ${text}\n`
  let lines = ''
  for (const line of text.split(BREAKS)) lines += `data: ${line}\n`
  return lines
}
