import { InvalidBody } from '../errors.js'

// Raw slices of JSON text. To parse and print a payload would change it: integers past 2^53, 1.0, escapes. So the payload is cut out of the
// text as it stands. Nothing here recurses, and each function takes one pass over its text.

// Levels of lists and objects that the data of an event may have.
const MAX_DEPTH = 128

// The object that holds the data is a level too.
const MAX_ITEM_DEPTH = MAX_DEPTH + 1

const QUOTE = 0x22
const COMMA = 0x2c
const OPENING_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d

/** The range of a value in a text: from its first character to behind its last one. */
export interface Span {
  readonly start: number
  readonly end: number
}

/**
 * The raw text of member `name` of the JSON object `text`, which must be valid JSON; the last one wins, as in
 * `JSON.parse`. `null` when there is none. Cost: one pass over the text.
 * @throws InvalidBody  a value in it has more than `MAX_DEPTH` levels; names `place`
 */
export function rawMember(text: string, name: string, place: string): string | null {
  let found: string | null = null
  let i = skipSpace(text, text.indexOf('{') + 1)
  while (text.charCodeAt(i) === QUOTE) {
    const keyEnd = skipString(text, i)
    const key = text.slice(i + 1, keyEnd - 1)
    // Safe: a slice of valid JSON from quote to quote is a string.
    const isWanted = key === name || (key.includes('\\') && (JSON.parse(text.slice(i, keyEnd)) as string) === name)
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const end = skipValue(text, start, text.length, MAX_DEPTH, place)
    if (isWanted) found = text.slice(start, end)
    i = skipSpace(text, skipSpace(text, end) + 1)
  }
  return found
}

/**
 * Finds the items of the JSON array `text` lazily, in order. It checks the text between the items, not the items: the text is valid JSON if
 * this comes to its end without an error and `JSON.parse` takes each item. It reads at most
 * `maxLength + 1` characters of an item, and the rest of a string that began within them.
 * @throws InvalidBody  more than `maxLength` characters of white space in a row
 * @throws InvalidBody  no array, anything but one comma between two items, or text after the array
 * @throws InvalidBody  an item whose values have more than `MAX_DEPTH` levels; names the item
 */
export function* itemsOf(text: string, maxLength: number): Generator<Span> {
  let i = skipGap(text, 0, maxLength)
  if (i === text.length) throw new InvalidBody('the body', 'it is empty; send a JSON text')
  if (text.charCodeAt(i) !== OPENING_BRACKET) throw new InvalidBody('the body', 'it must be a JSON array of events')
  i = skipGap(text, i + 1, maxLength)
  if (text.charCodeAt(i) === CLOSING_BRACKET) return checkEnd(text, i + 1, maxLength)
  for (let item = 1; ; item++) {
    const start = i
    const end = skipValue(text, start, start + maxLength + 1, MAX_ITEM_DEPTH, `item ${item}`)
    if (end === start) throw invalidAt(start)
    yield { start, end }
    i = skipGap(text, end, maxLength)
    const c = text.charCodeAt(i)
    if (c === CLOSING_BRACKET) return checkEnd(text, i + 1, maxLength)
    if (c !== COMMA) throw invalidAt(i)
    i = skipGap(text, i + 1, maxLength)
  }
}

function checkEnd(text: string, from: number, maxLength: number): void {
  const i = skipGap(text, from, maxLength)
  if (i < text.length) throw invalidAt(i)
}

function skipGap(text: string, from: number, maxLength: number): number {
  const i = skipSpace(text, from, from + maxLength + 1)
  if (i - from <= maxLength) return i
  throw new InvalidBody(
    'the body',
    `it has more than ${maxLength} characters of white space in a row (at position ${from})`,
  )
}

function invalidAt(position: number): Error {
  return new InvalidBody('the body', `it is not valid JSON (at position ${position})`)
}

function skipSpace(text: string, from: number, to = text.length): number {
  let i = from
  while (i < to) {
    const c = text.charCodeAt(i)
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) break
    i++
  }
  return i
}

// The position behind the closing quote of the string at `from`, or the end of a text without one.
function skipString(text: string, from: number): number {
  let i = text.indexOf('"', from + 1)
  while (i >= 0 && isEscaped(text, i)) i = text.indexOf('"', i + 1)
  return i < 0 ? text.length : i + 1
}

function isEscaped(text: string, quote: number): boolean {
  let i = quote - 1
  while (text.charCodeAt(i) === BACKSLASH) i--
  return (quote - i) % 2 === 0
}

// The position behind the value at `from`. Reading stops at `to`, or at the end of a string that began before it.
function skipValue(text: string, from: number, to: number, maxDepth: number, place: string): number {
  const first = text.charCodeAt(from)
  if (first === QUOTE) return skipString(text, from)
  let i = from
  if (first !== OPENING_BRACE && first !== OPENING_BRACKET) {
    while (i < to && i < text.length && !',}] \n\r\t'.includes(text[i]!)) i++
    return i
  }
  let depth = 0
  do {
    const c = text.charCodeAt(i)
    if (c === QUOTE) {
      i = skipString(text, i)
      continue
    }
    if (c === OPENING_BRACE || c === OPENING_BRACKET) {
      depth++
      if (depth > maxDepth) {
        throw new InvalidBody(
          place,
          `it nests deeper than the ${MAX_DEPTH} levels that data may have (at position ${i})`,
        )
      }
    } else if (c === CLOSING_BRACE || c === CLOSING_BRACKET) depth--
    i++
  } while (depth > 0 && i < to && i < text.length)
  return i
}
