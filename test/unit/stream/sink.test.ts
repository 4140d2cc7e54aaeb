import { once } from 'node:events'
import { createServer, connect as dial, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import type { Sink } from '../../../src/stream/sink.js'
import { sinkOf } from '../../../src/stream/socket-sink.js'
import { waitFor } from '../../helpers/deadline.js'
import { collectGarbage } from '../../helpers/garbage.js'

// More than the kernel buffers on both sides of a loopback connection.
const FRAMES = 400
const FRAME_BYTES = 65_536

interface Link {
  readonly sink: Sink
  readonly socket: Socket
  readonly peer: Socket
}

/** Opens a connection and gives both ends; the peer reads only when told to. */
async function link(t: Test, wrap: (socket: Socket) => Duplex): Promise<Link> {
  const server = createServer()
  t.teardown(() => server.close())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  const accepted = once(server, 'connection')
  const peer = dial(address.port, '127.0.0.1')
  peer.pause()
  const [socket] = (await accepted) as [Socket]
  for (const end of [peer, socket]) {
    end.on('error', () => {})
    t.teardown(() => end.destroy())
  }
  return { sink: sinkOf(wrap(socket), 16_384), socket, peer }
}

// Frame n repeats its number, so that a hole, a repetition and a swap all show.
const frame = (n: number) => Buffer.alloc(FRAME_BYTES, `${String(n).padStart(7, '0')}\n`)

function stuff(sink: Sink): void {
  for (let n = 0; n < FRAMES; n++) sink.write(frame(n))
}

async function readAll(peer: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  peer.on('data', chunk => chunks.push(chunk)).resume()
  await closed(peer)
  return Buffer.concat(chunks)
}

/** Resolves when the socket has closed. An error is a regular end of a link here. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise<void>(resolve => socket.once('close', () => resolve()))
}

/** Wraps a socket in a plain stream: a sink sees TLS and HTTP/2 connections like that. */
function disguised(socket: Socket): Duplex {
  const stream = new Duplex({
    autoDestroy: true,
    read() {},
    write: (chunk, _, done) => socket.write(chunk, done),
    final: done => socket.end(done),
    destroy: (error, done) => {
      socket.destroy()
      done(error)
    },
  })
  socket.on('close', () => stream.destroy())
  return stream.on('error', () => {})
}

for (const [kind, wrap] of [
  ['a socket', (socket: Socket): Duplex => socket],
  ['any other stream', disguised],
] as const) {
  t.test(`${kind}: what a stalled peer was sent waits, and arrives whole and in order before the end`, async t => {
    const { sink, peer } = await link(t, wrap)
    sink.write(Buffer.from('head\n'))
    stuff(sink)
    t.ok(sink.isBackedUp)
    t.ok(sink.queuedBytes > FRAME_BYTES, 'the rest is counted')
    t.ok(sink.queuedBytes <= FRAMES * FRAME_BYTES + 5)
    sink.end(Buffer.from('end\n'))
    const bytes = await readAll(peer)
    t.equal(bytes.length, 5 + FRAMES * FRAME_BYTES + 4)
    t.equal(bytes.toString('latin1', 0, 5), 'head\n')
    for (let n = 0; n < FRAMES; n++) {
      const at = 5 + n * FRAME_BYTES
      if (!bytes.subarray(at, at + FRAME_BYTES).equals(frame(n))) return t.fail(`frame ${n} is not where it belongs`)
    }
    t.equal(bytes.toString('latin1', bytes.length - 4), 'end\n')
  })

  t.test(`${kind}: drained resolves when the peer reads again, and the next write leaves at once`, async t => {
    const { sink, peer } = await link(t, wrap)
    await sink.drained()
    stuff(sink)
    let isDrained = false
    const drained = sink.drained().then(() => {
      isDrained = true
    })
    await new Promise(resolve => setImmediate(resolve))
    t.notOk(isDrained, 'not while nobody reads')
    let received = 0
    peer.resume().on('data', chunk => {
      received += chunk.length
    })
    await drained
    await waitFor(() => received === FRAMES * FRAME_BYTES, 10_000, 'everything at the peer')
    t.notOk(sink.isBackedUp)
    sink.write(Buffer.from('next'))
    await waitFor(() => sink.queuedBytes === 0, 10_000, 'the next write to leave')
    await waitFor(() => received === FRAMES * FRAME_BYTES + 4, 10_000, 'the next write at the peer')
  })

  t.test(`${kind}: small frames that wait take no more memory than they have bytes, and arrive in order`, async t => {
    const { sink, peer } = await link(t, wrap)
    stuff(sink)
    const waiting = sink.queuedBytes
    const count = 200_000
    collectGarbage()
    const before = process.memoryUsage()
    for (let n = 0; n < count; n++) sink.write(Buffer.from(`${String(n).padStart(9, '0')}\n`))
    t.equal(sink.queuedBytes, waiting + count * 10)
    collectGarbage()
    const after = process.memoryUsage()
    const grown = after.heapUsed + after.external - before.heapUsed - before.external
    t.ok(grown < 3 * count * 10, `${grown} bytes for ${count * 10}`)
    sink.end(Buffer.from('end\n'))
    const bytes = await readAll(peer)
    t.equal(bytes.length, FRAMES * FRAME_BYTES + count * 10 + 4)
    const rest = bytes.subarray(FRAMES * FRAME_BYTES)
    for (let n = 0; n < count; n++) {
      if (rest.toString('latin1', n * 10, n * 10 + 9) !== String(n).padStart(9, '0')) return t.fail(`frame ${n}`)
    }
  })

  t.test(
    `${kind}: a peer that vanishes with bytes waiting lets go of whoever waits, and later writes are dropped`,
    async t => {
      const { sink, socket, peer } = await link(t, wrap)
      stuff(sink)
      const drained = sink.drained()
      peer.resetAndDestroy()
      await closed(socket)
      await drained
      sink.write(frame(0))
      sink.end(frame(1))
      t.equal(socket.destroyed, true)
    },
  )

  t.test(`${kind}: a write after the link was cut does nothing`, async t => {
    const { sink, socket } = await link(t, wrap)
    sink.write(Buffer.from('a'))
    sink.destroy()
    sink.write(Buffer.from('b'))
    await closed(socket)
    sink.write(Buffer.from('c'))
    t.equal(socket.destroyed, true)
  })
}

t.test('a socket: what it held when it was taken over, like a response head, goes first', async t => {
  const { sink, socket, peer } = await link(t, socket => {
    socket.cork()
    socket.write('head ')
    return socket
  })
  sink.write(Buffer.from('first '))
  t.equal(sink.queuedBytes, 11)
  socket.uncork()
  sink.write(Buffer.from('second'))
  sink.end(Buffer.from('.'))
  t.equal((await readAll(peer)).toString(), 'head first second.')
})

t.test('a plain socket is written to directly, anything else as the stream that it is', async t => {
  t.equal((await link(t, socket => socket)).sink.constructor.name, 'SocketSink')
  t.equal((await link(t, disguised)).sink.constructor.name, 'StreamSink')
})
