import { Type } from '@sinclair/typebox'
import { EventTooLarge, InvalidData, InvalidKey, InvalidRoom, InvalidType, shown } from './errors.js'
import { isRoom } from './room.js'

/** Characters a type may have. */
const MAX_TYPE_LENGTH = 128

/** Events that one batch may hold. */
export const MAX_BATCH_EVENTS = 1_000

const KEY = /^[\x20-\x7e]{1,200}$/
// Control characters would forge frames and log lines; lone surrogates cannot be encoded.
const BAD_IN_TYPE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: refusing them is the point
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

/** The body of a publish: `data` is any JSON value, or a string that arrives as its lines. */
export const EventBodySchema = Type.Object(
  {
    type: Type.String({
      description: `Event type, 1-${MAX_TYPE_LENGTH} characters; EventSource listens for it by this name. \`stream.\` is reserved.`,
      examples: ['job.complete'],
    }),
    data: Type.Optional(
      Type.Unknown({
        description: 'Any JSON value, delivered exactly as sent; a string is delivered as its lines. Default null.',
        examples: [{ jobId: 7 }],
      }),
    ),
    ephemeral: Type.Optional(
      Type.Boolean({ description: 'Not kept in history, and the first to be dropped for a reader that is behind.' }),
    ),
    key: Type.Optional(
      Type.String({
        description: 'Idempotency key: the same key in the same room within 5 minutes publishes once.',
        examples: ['job-7'],
      }),
    ),
  },
  { additionalProperties: false },
)

declare const checked: unique symbol

/** A checked event on its way to the bus. Only `createDraft` makes one. `data` is JSON text, exactly as published. */
export interface Draft {
  readonly [checked]: true
  readonly room: string
  readonly type: string
  readonly data: string
  readonly ephemeral: boolean
  readonly key: string | undefined
}

/**
 * Makes a draft. `data` must be valid JSON text: it is not parsed here.
 * @throws InvalidRoom, InvalidType, InvalidKey, EventTooLarge  with `place` in the message
 */
export function createDraft(
  room: string,
  body: { type: string; data: string; ephemeral?: boolean | undefined; key?: string | undefined },
  maxEventBytes: number,
  place: string,
): Draft {
  if (!isRoom(room)) throw new InvalidRoom(shown(String(room)), place)
  const { type, key } = body
  if (!isType(type)) throw new InvalidType(shown(String(type)), place)
  if (key !== undefined && !(typeof key === 'string' && KEY.test(key))) throw new InvalidKey(shown(String(key)), place)
  const data = oneLine(body.data)
  // A character takes at most 3 bytes, so most events need no counting.
  if (data.length * 3 > maxEventBytes) {
    const bytes = Buffer.byteLength(data)
    if (bytes > maxEventBytes) throw new EventTooLarge(place, bytes, maxEventBytes)
  }
  // Safe: everything was checked above, and the mark exists for the compiler only.
  return { room, type, data, ephemeral: body.ephemeral === true, key } as Draft
}

/** The draft with `key`, unless it has a key already. `key` must be valid. */
export function withKey(draft: Draft, key: string): Draft {
  return draft.key === undefined ? { ...draft, key } : draft
}

/**
 * JSON text of a JavaScript value, for publishers that are in the same process; `undefined` becomes `null`.
 * @throws InvalidData  JSON cannot express the value: a function, a BigInt, a cycle
 */
export function toJsonText(value: unknown, place: string): string {
  let text: string | undefined
  try {
    text = value === undefined ? 'null' : JSON.stringify(value)
  } catch (error) {
    throw new InvalidData(place, error instanceof Error ? error.message.split('\n')[0]! : 'it cannot be serialized')
  }
  if (text === undefined) throw new InvalidData(place, `a ${typeof value} cannot be serialized`)
  return text
}

function isType(type: string): boolean {
  if (typeof type !== 'string' || type.length === 0 || type.length > MAX_TYPE_LENGTH) return false
  return !type.startsWith('stream.') && !BAD_IN_TYPE.test(type)
}

// Between JSON tokens a line break is only white space. Inside a string it cannot occur, so this changes no value.
function oneLine(data: string): string {
  return data.includes('\n') || data.includes('\r') ? data.replace(/[\r\n]+/g, ' ') : data
}
