import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type Settings } from 'node:http2'
import { waitFor, withDeadline } from './deadline.js'
import type { Owner } from './scope.js'
import { type SseEvent, SseParser } from './sse-parser.js'

/** One stream over HTTP/2. Everything in it grows as the bytes come. */
export interface Http2Reader {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly events: readonly SseEvent[]
  /** The stream below, to pause it or to cancel it with a code. */
  readonly stream: ClientHttp2Stream
  /** Resolves with the code that it was reset with, 0 for an end in good order, when it is over. */
  readonly ended: Promise<number>
  /** The first event after the one that next() last gave, of this type if one is named. */
  next(type?: string, ms?: number): Promise<SseEvent>
}

/** Opens a connection that trusts `ca`; gone with its owner. */
export async function openSession(
  owner: Owner,
  port: number,
  ca: string,
  settings: Settings = {},
): Promise<ClientHttp2Session> {
  const session = connect(`https://localhost:${port}`, { ca, settings })
  owner.teardown(() => session.destroy())
  // What a test is about shows on its streams; a listener keeps the rest from ending the process.
  session.on('error', () => {})
  const connected = new Promise<void>((resolve, reject) => {
    session.once('connect', () => resolve())
    session.once('error', reject)
  })
  await withDeadline(connected, 5_000, 'an HTTP/2 connection')
  return session
}

/** Opens a stream on a connection and resolves when the response head is there. */
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
      return events[at]! // waitFor saw it
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
