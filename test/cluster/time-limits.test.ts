import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { waitFor, withDeadline } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  type Frame,
  frame,
  headerBlock,
  preface,
  readFrames,
} from '../helpers/http2-frames.js'
import { authority, startSecure } from '../helpers/secure-gateway.js'
import { openStream } from '../helpers/sse.js'

// The longest limit is that of an idle connection: 77 s over HTTP/2. All tests wait side by side.
t.setTimeout(150_000)
t.jobs = 2

const JSON_TYPE = { 'content-type': 'application/json' }
const DRIP_MS = 500
const LISTENING = '0A'
const OPENAPI = 'GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n'

/** Connects a peer that never ends its own side. */
function plain(t: Test, port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  return socket.on('error', () => {})
}

async function secure(t: Test, port: number, protocol: 'http/1.1' | 'h2'): Promise<Socket> {
  const options = { port, host: 'localhost', ca: authority.ca, ALPNProtocols: [protocol], allowHalfOpen: true }
  const socket = connectTls(options)
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  await withDeadline(new Promise<void>(resolve => socket.once('secureConnect', resolve)), 5_000, 'the handshake')
  return socket
}

/** Sends `first`, then `drop` every half second. Resolves with the ms until the server ended the connection. */
function untilCut(t: Test, socket: Socket, first: Buffer | string, drop: Buffer | string = ''): Promise<number> {
  const startedAt = performance.now()
  if (first.length > 0) socket.write(first)
  const timer = setInterval(() => drop.length > 0 && socket.write(drop), DRIP_MS)
  t.teardown(() => clearInterval(timer))
  return new Promise(resolve => {
    const end = () => {
      clearInterval(timer)
      resolve(performance.now() - startedAt)
    }
    // A peer that reads sees the end; a peer that does not sees its writes fail.
    socket.once('end', end).once('close', end)
  })
}

/** The number of sockets that the server on `port` holds, without the listening one. Sockets that it has closed have no inode. */
function socketsOn(port: number): number {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  return rows.filter(row => {
    const [, local = '', , state, , , , , , inode] = row.trim().split(/\s+/)
    return local.endsWith(suffix) && state !== LISTENING && inode !== '0'
  }).length
}

const within = (t: Test, limitMs: number, took: Promise<number>, what: string) =>
  took.then(ms => t.ok(ms > limitMs - 2_000 && ms < limitMs + 8_000, `${what}: ${Math.round(ms)} ms`))

const body = (length: number) =>
  `POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`

// Sends more requests than the kernel can buffer answers for. They go one by one: the server would cut the peer for many at once.
async function askOften(t: Test, socket: Socket): Promise<number> {
  socket.pause()
  let asked = 0
  const timer = setInterval(() => socket.write(asked++ < 400 ? OPENAPI : '\r\n'), 10)
  t.teardown(() => clearInterval(timer))
  return untilCut(t, socket, '').finally(() => clearInterval(timer))
}

const settled = (reads: Socket) => {
  reads.resume()
  return reads
}

t.test(
  'no peer holds a socket for longer than the limits, over TLS, HTTP/1.1 and HTTP/2, whatever it sends',
  { buffered: true },
  async t => {
    const { gateway } = await startSecure(t, { HEARTBEAT_MS: '1000' })
    const { port } = gateway
    const one = async () => settled(await secure(t, port, 'http/1.1'))
    const two = async () => settled(await secure(t, port, 'h2'))
    const head = (flags: number, stream: number, method: 'GET' | 'POST', path: string) =>
      frame(FRAME.headers, flags, stream, headerBlock(method, path, JSON_TYPE))
    const ping = frame(FRAME.ping, 0, 0, '12345678')

    const reader = await two()
    const received: Frame[] = []
    readFrames(reader, each => received.push(each))
    const readerIsCut = untilCut(t, reader, Buffer.concat([preface(), head(5, 1, 'GET', '/v1/stream?user=1')]))
    reader.write(head(END_HEADERS, 3, 'POST', '/v1/broadcast'))
    const upload = setInterval(() => reader.write(frame(FRAME.data, 0, 3, ' ')), DRIP_MS)
    t.teardown(() => clearInterval(upload))
    const uploadedFrom = performance.now()
    const resetOf = async (frames: readonly Frame[], stream: number, from: number) => {
      const isReset = (each: Frame) => each.type === FRAME.reset && each.stream === stream
      await waitFor(() => frames.some(isReset), 45_000, `the reset of ${stream}`)
      return performance.now() - from
    }
    const upTo = resetOf(received, 3, uploadedFrom).finally(() => clearInterval(upload))

    const closed = await two()
    const closedFrames: Frame[] = []
    readFrames(closed, each => closedFrames.push(each))
    closed.write(
      Buffer.concat([preface(0), head(5, 1, 'GET', '/openapi.json'), head(5, 3, 'GET', '/v1/stream?user=2')]),
    )
    const unreadFrom = performance.now()

    await Promise.all([
      within(t, 10_000, untilCut(t, settled(plain(t, port)), ''), 'no byte'),
      within(t, 10_000, untilCut(t, settled(plain(t, port)), '\x16\x03\x01\x02\x00\x01', '\x00'), 'half a handshake'),
      within(
        t,
        1_000,
        untilCut(t, settled(plain(t, port)), 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
        'HTTP without TLS',
      ),
      within(t, 1_000, untilCut(t, settled(plain(t, port)), '\x00garbage\xff\xff\xff\xff'), 'random bytes'),
      within(t, 10_000, untilCut(t, await one(), ''), 'a handshake and no more'),
      within(
        t,
        10_000,
        untilCut(t, await one(), 'GET / HTTP/1.1\r\nHost: localhost\r\n', 'X: 1\r\n'),
        'a head drop by drop',
      ),
      within(t, 1_000, untilCut(t, await one(), 'no request at all\r\n\r\n'), 'an HTTP/1.1 that is none'),
      within(t, 30_000, untilCut(t, await one(), body(50_000), ' '), 'a body drop by drop'),
      within(t, 73_000, untilCut(t, await one(), OPENAPI), 'a kept connection'),
      within(t, 10_000, untilCut(t, await two(), ''), 'HTTP/2 without a preface'),
      within(t, 10_000, untilCut(t, await two(), preface(), ping), 'a preface and pings'),
      within(
        t,
        10_000,
        untilCut(t, await two(), Buffer.concat([preface(), head(END_STREAM, 1, 'GET', '/openapi.json')])),
        'a head without its end',
      ),
      within(
        t,
        77_000,
        untilCut(t, await two(), Buffer.concat([preface(), head(5, 1, 'GET', '/openapi.json')]), ping),
        'a session that only pings',
      ),
      within(t, 30_000, upTo, 'a body without end beside a stream'),
      within(t, 30_000, resetOf(closedFrames, 1, unreadFrom), 'an answer whose window stays closed'),
    ])
    const beats = () => received.filter(({ type, stream }) => type === FRAME.data && stream === 1).length
    // A heartbeat comes after a second of silence, and the gateway looks once a second.
    t.ok(beats() > 30, `the stream beside them goes on: ${beats()} heartbeats`)
    const seen = beats()
    await waitFor(() => beats() > seen, 5_000, 'another heartbeat')
    t.notOk(
      closedFrames.some(({ type, stream }) => type === FRAME.reset && stream === 3),
      'nor is one beside an unread answer cut',
    )
    // Only the two connections with streams are left in the gateway; the other peers may still hold their own ends.
    if (process.platform === 'linux')
      await waitFor(() => socketsOn(port) === 2, 5_000, 'no sockets but those of streams')
    reader.destroy()
    await readerIsCut
    t.equal(await gateway.stop(), 0)
    t.notMatch(gateway.output, /Warning|"level":[56]0/)
  },
)

t.test('the same limits hold without TLS', { buffered: true }, async t => {
  const gateway = await startGateway(t, { HEARTBEAT_MS: '1000', DRAIN_WINDOW_MS: '0' })
  const stream = await openStream(t, `${gateway.url}/v1/stream?user=1`)
  const wrong = plain(t, gateway.port)
  await Promise.all([
    within(t, 10_000, untilCut(t, settled(plain(t, gateway.port)), ''), 'no byte'),
    within(t, 30_000, askOften(t, plain(t, gateway.port)), 'answers that nobody reads'),
    within(t, 73_000, untilCut(t, settled(plain(t, gateway.port)), OPENAPI), 'a kept connection'),
    within(t, 1_000, untilCut(t, settled(wrong), 'no request at all\r\n\r\n'), 'bytes that are no request'),
  ])
  t.notOk(stream.destroyed)
  if (process.platform === 'linux')
    await waitFor(() => socketsOn(gateway.port) === 1, 5_000, 'no socket but that of the stream')
  t.ok(stream.blocks.length > 30, `heartbeats all the while: ${stream.blocks.length}`)
})
