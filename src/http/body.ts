import { InvalidBody } from '../errors.js'
import { createDraft, type Draft, shown } from '../event.js'
import { checkBatchSize, itemOf } from '../publisher.js'
import { rawItems, rawMember } from './json.js'

// What comes through the door: request bodies to drafts, with the payload cut out as it was sent.

const MEMBERS = ['type', 'data', 'ephemeral', 'key']

/** A request body that was read: everything but where it goes. `data` is JSON text. */
export interface ReadEvent {
  readonly type: string
  readonly data: string
  readonly ephemeral: boolean | undefined
  readonly key: string | undefined
}

/**
 * Reads `{ type, data, ephemeral?, key? }`.
 * @throws InvalidBody  no JSON, no object, an unknown member, or one of the wrong kind; names it
 */
export function readEventBody(text: string): ReadEvent {
  return readObject(text, 'the body', MEMBERS).event
}

/**
 * Reads a JSON array, or NDJSON, of `{ to, type, data, ephemeral?, key? }`; all or none.
 * @throws InvalidItem    names the item or the line (blank lines are skipped but counted)
 * @throws BatchTooLarge  too many items
 */
export function readBatch(text: string, isNdjson: boolean, maxEventBytes: number): Draft[] {
  const drafts = isNdjson ? readLines(text, maxEventBytes) : readArray(text, maxEventBytes)
  if (drafts.length === 0) throw new InvalidBody('the body', 'it holds no events; send at least one')
  return drafts
}

function readArray(text: string, maxEventBytes: number): Draft[] {
  const parsed = parse(text, 'the body')
  if (!Array.isArray(parsed)) throw new InvalidBody('the body', 'it must be a JSON array of events')
  checkBatchSize(parsed.length)
  return rawItems(text).map((item, i) => itemOf(`item ${i + 1}`, place => readDraft(item, place, maxEventBytes)))
}

function readLines(text: string, maxEventBytes: number): Draft[] {
  const drafts: Draft[] = []
  let from = 0
  for (let line = 1; from < text.length; line++) {
    const end = text.indexOf('\n', from)
    const item = text.slice(from, end < 0 ? text.length : end).trim()
    from = end < 0 ? text.length : end + 1
    if (item !== '') drafts.push(itemOf(`line ${line}`, place => readDraft(item, place, maxEventBytes)))
    checkBatchSize(drafts.length)
  }
  return drafts
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
  const event: ReadEvent = { type, data: rawMember(text, 'data') ?? 'null', ephemeral, key }
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
