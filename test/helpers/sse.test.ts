import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { waitFor } from './deadline.js'
import { ResumingReader } from './resuming-reader.js'
import { openStream } from './sse.js'

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n'

/** A server that answers each request with what `answer` does to its socket. */
async function serve(t: Test, answer: (socket: Socket, request: string, turn: number) => void): Promise<string> {
  let turns = 0
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', request => answer(socket, request.toString('latin1'), turns++))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/stream?user=7` // a TCP server's address is one
}

t.test('openStream keeps the bytes, the blocks and the events of a body ended by close', async t => {
  const url = await serve(t, (socket, request) => {
    t.match(request, /^GET \/v1\/stream\?user=7 HTTP\/1\.1\r\n/)
    t.match(request, /\r\nLast-Event-ID: k-1\r\n/)
    socket.end(`${HEAD}\r\nid: k-2\nevent: tick\ndata: 1\n\nid: k-3\n\n`)
  })
  const stream = await openStream(t, url, { lastEventId: 'k-1' })
  t.equal(stream.status, 200)
  t.same(await stream.next('tick'), { id: 'k-2', type: 'tick', data: '1' })
  t.equal(await stream.ended, 'end')
  t.equal(stream.raw, 'id: k-2\nevent: tick\ndata: 1\n\nid: k-3\n\n')
  t.equal(stream.blocks.length, 2)
  t.equal(stream.lastEventId, 'k-3')
  t.ok(stream.destroyed)
  await t.rejects(stream.next('tick'), { message: /ended before the next event 'tick'/ })
})

t.test('openStream takes chunk framing off', async t => {
  const url = await serve(t, socket => {
    socket.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n`)
    socket.write('3\r\na\n\n\r\n0\r\n\r\n')
  })
  const stream = await openStream(t, url)
  t.equal((await stream.next()).data, 'a')
  t.equal(await stream.ended, 'end')
})

t.test('openStream gives an answer that is no stream as it is', async t => {
  const url = await serve(t, socket => {
    socket.write('HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}')
  })
  const stream = await openStream(t, url)
  t.equal(stream.status, 400)
  await stream.ended
  t.equal(stream.raw, '{}')
})

t.test('a resuming reader comes back with its last event id after an end, a reset and a refusal', async t => {
  const requests: string[] = []
  const url = await serve(t, (socket, request, turn) => {
    requests.push(/Last-Event-ID: (.*)\r\n/.exec(request)?.[1] ?? 'none')
    if (turn === 0) socket.end(`${HEAD}\r\nretry: 10\nid: k-1\nevent: stream.open\ndata: {}\n\n`)
    else if (turn === 1)
      socket.write(`${HEAD}\r\nid: k-2\ndata: two\n\nid: k-3\ndata: thr`, () => socket.resetAndDestroy())
    else if (turn === 2) socket.destroy()
    else socket.write(`${HEAD}\r\nid: k-3\ndata: three\n\nid: k-9\n\n`)
  })
  const reader = new ResumingReader(t, url)
  await waitFor(() => reader.lastEventId === 'k-9', 5000, 'the last position')
  t.same(requests, ['none', 'k-1', 'k-2', 'k-2'])
  t.same(
    reader.events.map(event => event.data),
    ['{}', 'two', 'three'],
  )
  t.match(
    reader.sights.map(sight => sight.kind),
    ['connect', 'open', 'ended', 'connect', 'event', 'ended', 'connect', 'refused', 'connect', 'event', 'position'],
  )
})

t.test('a resuming reader gives up on an answer that is not 200, as browsers do', async t => {
  const url = await serve(t, socket => void socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n'))
  const reader = new ResumingReader(t, url)
  await waitFor(() => reader.failure !== undefined, 5000, 'the failure')
  t.equal(reader.failure, 503)
  t.equal(reader.opens, 0)
})
