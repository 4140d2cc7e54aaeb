import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type Settings } from 'node:http2'
import { waitFor, withDeadline } from './deadline.js'
import type { Owner } from './scope.js'
import { type SseEvent, SseParser } from './sse-parser.js'

/** One stream over HTTP/2. Its fields grow as the bytes come. */
export interface Http2Reader {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly events: readonly SseEvent[]
  /** The HTTP/2 stream itself, to pause it or to cancel it with a code. */
  readonly stream: ClientHttp2Stream
  /** Resolves at the end with the code of the reset, or 0 without one. */
  readonly ended: Promise<number>
  /** The next event after the one that next() last returned; with `type`, the next of that type. */
  next(type?: string, ms?: number): Promise<SseEvent>
}

/** Opens a connection that trusts `ca`; it is gone with its owner. */
export async function openSession(
  owner: Owner,
  port: number,
  ca: string,
  settings: Settings = {},
): Promise<ClientHttp2Session> {
  const session = connect(`https://localhost:${port}`, { ca, settings })
  owner.teardown(() => session.destroy())
  // Without a listener an error of the session would end the process. The tests look at its streams.
  session.on('error', () => {})
  const connected = new Promise<void>((resolve, reject) => {
    session.once('connect', () => resolve())
    session.once('error', reject)
  })
  await withDeadline(connected, 5_000, 'an HTTP/2 connection')
  return session
}

/** Opens a stream on a connection and resolves once the response head is there. */
export async function openHttp2Stream(
  session: ClientHttp2Session,
  path: string,
  headers: Record<string, string> = {},
): Promise<Http2Reader> {
  const stream = session.request({ ':path': path, accept: 'text/event-stream', ...headers })
  const events: SseEvent[] = []
  const parser = new SseParser((_, event) => void (event && events.push(event)))
  stream.on('data', (bytes: Buffer) => parser.push(bytes))
  stream.on('error', () => {})
  const ended = new Promise<number>(resolve => stream.once('close', () => resolve(stream.rstCode ?? 0)))
  const head = new Promise<Record<string, unknown>>((resolve, reject) => {
    stream.once('response', resolve)
    stream.once('close', () => reject(new Error(`${path}: the stream ended before the response head`)))
  })
  const received = await withDeadline(head, 5_000, `the head of ${path}`)
  let taken = 0
  return {
    status: Number(received[constants.HTTP2_HEADER_STATUS]),
    headers: received,
    events,
    stream,
    ended,
    next: async (type, ms = 5_000) => {
      const find = () => events.findIndex((event, at) => at >= taken && (type === undefined || event.type === type))
      await waitFor(() => find() >= 0, ms, `the next event${type ? ` '${type}'` : ''}`)
      const at = find()
      taken = at + 1
      return events[at]! // waitFor() has found it
    },
  }
}

/** Sends one request and resolves with its answer. */
export async function http2Request(
  session: ClientHttp2Session,
  path: string,
  { body, ...headers }: Record<string, string> = {},
): Promise<{ status: number; headers: Record<string, unknown>; text: string }> {
  const method = body === undefined ? 'GET' : 'POST'
  const stream = session.request({ ':path': path, ':method': method, ...headers })
  let text = ''
  let head: Record<string, unknown> = {}
  stream.setEncoding('utf8')
  stream.on('response', received => {
    head = received
  })
  stream.on('data', chunk => {
    text += chunk
  })
  stream.end(body)
  const over = new Promise<void>((resolve, reject) => stream.once('close', resolve).once('error', reject))
  await withDeadline(over, 5_000, `the answer to ${path}`)
  return { status: Number(head[constants.HTTP2_HEADER_STATUS]), headers: head, text }
}
