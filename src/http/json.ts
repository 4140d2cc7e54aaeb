// Raw slices of JSON text. `JSON.parse` and print would change a payload: integers past 2^53, 1.0, escapes. So a body is
// parsed once to know that it is valid, and the payload is then cut out of the text as it stands.

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * The raw text of member `name` of the JSON object `text`, which must be valid JSON; the last one wins, as in
 * `JSON.parse`. `null` when there is none. Cost: one pass over the text.
 */
export function rawMember(text: string, name: string): string | null {
  let found: string | null = null
  let i = skipSpace(text, text.indexOf('{') + 1)
  while (text.charCodeAt(i) === QUOTE) {
    const keyEnd = skipString(text, i)
    const key = text.slice(i + 1, keyEnd - 1)
    // Safe: a slice of valid JSON from quote to quote is a string.
    const isWanted = key === name || (key.includes('\\') && (JSON.parse(text.slice(i, keyEnd)) as string) === name)
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const end = skipValue(text, start)
    if (isWanted) found = text.slice(start, end)
    i = skipSpace(text, skipSpace(text, end) + 1)
  }
  return found
}

/** The raw texts of the items of the JSON array `text`, which must be valid JSON. */
export function rawItems(text: string): string[] {
  const items: string[] = []
  let i = skipSpace(text, text.indexOf('[') + 1)
  while (i < text.length && text[i] !== ']') {
    const end = skipValue(text, i)
    items.push(text.slice(i, end))
    i = skipSpace(text, end)
    if (text[i] === ',') i = skipSpace(text, i + 1)
  }
  return items
}

function skipSpace(text: string, from: number): number {
  let i = from
  for (let c = text.charCodeAt(i); c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09; c = text.charCodeAt(i)) i++
  return i
}

// From the opening quote to behind the closing one.
function skipString(text: string, from: number): number {
  let i = text.indexOf('"', from + 1)
  while (isEscaped(text, i)) i = text.indexOf('"', i + 1)
  return i + 1
}

function isEscaped(text: string, quote: number): boolean {
  let i = quote - 1
  while (text.charCodeAt(i) === BACKSLASH) i--
  return (quote - i) % 2 === 0
}

function skipValue(text: string, from: number): number {
  const first = text[from]
  if (first === '"') return skipString(text, from)
  if (first !== '{' && first !== '[') {
    let i = from
    while (i < text.length && !',}] \n\r\t'.includes(text[i]!)) i++
    return i
  }
  let depth = 0
  let i = from
  do {
    const c = text[i]
    if (c === '"') {
      i = skipString(text, i)
      continue
    }
    if (c === '{' || c === '[') depth++
    else if (c === '}' || c === ']') depth--
    i++
  } while (depth > 0)
  return i
}
