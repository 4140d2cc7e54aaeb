import { createDraft, type Draft } from '../draft.js'
import { InvalidBody, ItemTooLarge, shown, TooManyLines } from '../errors.js'
import { checkBatchSize, itemOf } from '../publisher.js'
import { Stint } from '../turn.js'
import { itemsOf, rawMember, type Span } from './json.js'

// Turns request bodies into drafts. The payload is cut out of the body as it was sent.

// Lines that a batch may have; blank ones count.
const MAX_BATCH_LINES = 10_000

// Room for type, key, address and the JSON around the data.
const ITEM_OVERHEAD_BYTES = 4_096
// A longer text waits for a turn of its own before it is read.
const SLICE_LENGTH = 65_536

const MEMBERS = ['type', 'data', 'ephemeral', 'key']

/** The event in a request body, without the room that it goes to. `data` is JSON text. */
export interface ReadEvent {
  readonly type: string
  readonly data: string
  readonly ephemeral: boolean | undefined
  readonly key: string | undefined
}

/**
 * Reads `{ type, data, ephemeral?, key? }`.
 * @throws InvalidBody  no JSON, no object, an unknown member, a member of the wrong kind, or data with too many levels; names it
 */
export function readEventBody(text: string): ReadEvent {
  return readObject(text, 'the body', MEMBERS).event
}

/**
 * Reads a JSON array, or NDJSON, of `{ to, type, data, ephemeral?, key? }`; takes all items or none. Items, lines and bytes of an item are
 * counted before anything is parsed. Work beyond a few ms is done in pieces, and other requests are served between them.
 * @throws InvalidItem    names the item, or the line; blank lines are skipped but counted
 * @throws InvalidBody    no array, or it holds nothing
 * @throws BatchTooLarge, TooManyLines, ItemTooLarge
 */
export async function readBatch(text: string, isNdjson: boolean, maxEventBytes: number): Promise<Draft[]> {
  const stint = new Stint()
  if (text.length > SLICE_LENGTH) await stint.pause()
  const found: Item[] = []
  const maxLength = maxEventBytes + ITEM_OVERHEAD_BYTES
  for (const item of isNdjson ? linesOf(text) : itemsOf(text, maxLength)) {
    if (item.end - item.start > maxLength) throw new ItemTooLarge(placeOf(item, found.length), maxLength, maxEventBytes)
    found.push(item)
    checkBatchSize(found.length)
    if (stint.isOver) await stint.pause()
  }
  const drafts: Draft[] = []
  for (const [i, item] of found.entries()) {
    const json = text.slice(item.start, item.end)
    drafts.push(itemOf(placeOf(item, i), place => readDraft(json, place, maxEventBytes)))
    if (stint.isOver) await stint.pause()
  }
  if (drafts.length === 0) throw new InvalidBody('the body', 'it holds no events; send at least one')
  return drafts
}

/** The place of an item, for messages. Lines are numbered by themselves, because blank ones count. */
interface Item extends Span {
  readonly line?: number
}

function placeOf({ line }: Item, index: number): string {
  return line === undefined ? `item ${index + 1}` : `line ${line}`
}

// The lines that are not blank, without the white space around them.
function* linesOf(text: string): Generator<Item> {
  let from = 0
  for (let line = 1; from < text.length; line++) {
    if (line > MAX_BATCH_LINES) throw new TooManyLines(MAX_BATCH_LINES)
    const end = text.indexOf('\n', from)
    const to = end < 0 ? text.length : end
    const untrimmed = text.slice(from, to)
    const start = to - untrimmed.trimStart().length
    if (start < to) yield { start, end: start + untrimmed.trim().length, line }
    from = to + 1
  }
}

function readDraft(text: string, place: string, maxEventBytes: number): Draft {
  const { event, members } = readObject(text, place, ['to', ...MEMBERS])
  if (typeof members.to !== 'string') {
    throw new InvalidBody(place, "'to' must be a string: user:<id>, a room, or *")
  }
  return createDraft(members.to, event, maxEventBytes, place)
}

function readObject(text: string, place: string, allowed: readonly string[]) {
  const parsed = parse(text, place)
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new InvalidBody(place, 'it must be a JSON object with a type and data')
  }
  // Safe: a parsed JSON object has string keys and JSON values.
  const members = parsed as Record<string, unknown>
  for (const name of Object.keys(members)) {
    if (!allowed.includes(name)) {
      throw new InvalidBody(place, `unknown member '${shown(name)}'; allowed are ${allowed.join(', ')}`)
    }
  }
  const { type, ephemeral, key } = members
  if (typeof type !== 'string') throw new InvalidBody(place, "'type' must be a string of 1-128 characters")
  if (ephemeral !== undefined && typeof ephemeral !== 'boolean') {
    throw new InvalidBody(place, "'ephemeral' must be true or false")
  }
  if (key !== undefined && typeof key !== 'string') {
    throw new InvalidBody(place, "'key' must be a string of 1-200 printable ASCII characters")
  }
  const event: ReadEvent = { type, data: rawMember(text, 'data', place) ?? 'null', ephemeral, key }
  return { event, members }
}

function parse(text: string, place: string): unknown {
  if (text.trim() === '') throw new InvalidBody(place, 'it is empty; send a JSON text')
  try {
    return JSON.parse(text)
  } catch (error) {
    // The parser's own message quotes the text, and event data must not reach a log.
    const at = error instanceof Error ? /position \d+/.exec(error.message)?.[0] : undefined
    throw new InvalidBody(place, `it is not valid JSON${at === undefined ? '' : ` (at ${at})`}`)
  }
}
