import { connect } from 'node:net'

export type RedisReply = string | number | null | RedisReply[]

/**
 * Sends one command to the Redis or Sentinel at 127.0.0.1:port over a new connection and resolves with the reply.
 * @throws Error  on an error reply, a broken connection, or no reply within `timeoutMs`
 */
export function redisCommand(port: number, args: string[], timeoutMs = 2000): Promise<RedisReply> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const end = (settle: () => void) => {
      clearTimeout(timer)
      socket.destroy()
      settle()
    }
    const fail = (error: Error) => end(() => reject(error))
    const timer = setTimeout(() => fail(new Error(`${args.join(' ')}: no reply within ${timeoutMs} ms`)), timeoutMs)
    socket.setEncoding('latin1')
    socket.once('connect', () => socket.write(encode(args), 'latin1'))
    socket.once('error', fail)
    socket.once('close', () => fail(new Error(`${args.join(' ')}: the connection closed before the reply`)))
    socket.on('data', chunk => {
      text += chunk
      try {
        const parsed = parse(text, 0)
        if (parsed) end(() => resolve(parsed.reply))
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)))
      }
    })
  })
}

function encode(args: string[]): string {
  const words = args.map(word => Buffer.from(word).toString('latin1'))
  return `*${words.length}\r\n${words.map(word => `$${word.length}\r\n${word}\r\n`).join('')}`
}

interface Parsed {
  reply: RedisReply
  end: number
}

function parse(text: string, start: number): Parsed | undefined {
  const lineEnd = text.indexOf('\r\n', start)
  if (lineEnd < 0) return undefined
  const line = text.slice(start + 1, lineEnd)
  const end = lineEnd + 2
  switch (text[start]) {
    case '+':
      return { reply: line, end }
    case ':':
      return { reply: Number(line), end }
    case '-':
      throw new Error(line)
    case '$':
      return parseBulk(text, Number(line), end)
    case '*':
      return parseArray(text, Number(line), end)
    default:
      throw new Error(`not a RESP2 reply: ${JSON.stringify(text.slice(start, start + 40))}`)
  }
}

function parseBulk(text: string, length: number, start: number): Parsed | undefined {
  if (length < 0) return { reply: null, end: start }
  const end = start + length
  if (text.length < end + 2) return undefined
  return { reply: Buffer.from(text.slice(start, end), 'latin1').toString('utf8'), end: end + 2 }
}

function parseArray(text: string, length: number, start: number): Parsed | undefined {
  if (length < 0) return { reply: null, end: start }
  const reply: RedisReply[] = []
  let end = start
  while (reply.length < length) {
    const item = parse(text, end)
    if (!item) return undefined
    reply.push(item.reply)
    end = item.end
  }
  return { reply, end }
}
