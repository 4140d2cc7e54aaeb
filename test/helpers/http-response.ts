export interface ResponseHead {
  /** The head as it came, with the empty line. */
  text: string
  status: number
  /** Lower-case names. */
  headers: Record<string, string>
}

export function parseHead(text: string): ResponseHead {
  const [statusLine = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]
  if (!status) throw new Error(`not an HTTP/1 response: ${JSON.stringify(statusLine)}`)
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  return { text, status: Number(status), headers }
}

/** Takes chunk framing off a body, and knows when a body with a Content-Length is whole. */
export class BodyDecoder {
  isWhole: boolean
  #isChunked: boolean
  #left: number
  #rest = Buffer.alloc(0)

  constructor({ headers }: ResponseHead) {
    this.#isChunked = headers['transfer-encoding']?.toLowerCase() === 'chunked'
    this.#left = this.#isChunked ? 0 : Number(headers['content-length'] ?? Number.POSITIVE_INFINITY)
    this.isWhole = !this.#isChunked && this.#left === 0
  }

  push(bytes: Buffer): Buffer {
    if (this.#isChunked) return this.#pushChunked(bytes)
    this.#left -= bytes.length
    this.isWhole = this.#left <= 0
    return bytes
  }

  #pushChunked(bytes: Buffer): Buffer {
    this.#rest = Buffer.concat([this.#rest, bytes])
    const parts: Buffer[] = []
    while (!this.isWhole) {
      const sizeEnd = this.#rest.indexOf('\r\n')
      if (sizeEnd < 0) break
      const size = Number.parseInt(this.#rest.toString('latin1', 0, sizeEnd), 16)
      const start = sizeEnd + 2
      if (this.#rest.length < start + size + 2) break
      this.isWhole = size === 0
      parts.push(this.#rest.subarray(start, start + size))
      this.#rest = this.#rest.subarray(start + size + 2)
    }
    return Buffer.concat(parts)
  }
}
