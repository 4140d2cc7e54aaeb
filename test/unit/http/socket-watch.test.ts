import { Agent, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { createWatchedServer, socketLimits } from '../../../src/http/server.js'
import { type SocketLimits, SocketWatch } from '../../../src/http/socket-watch.js'
import { createAuthority } from '../../helpers/certificate.js'
import { waitFor, withDeadline } from '../../helpers/deadline.js'

const authority = createAuthority()
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

interface Options {
  limits?: Partial<SocketLimits>
  isSecure?: boolean
  handler?: (request: IncomingMessage, answer: ServerResponse) => void
}

/** Starts a watched server on the test's own clock, which only `at()` moves: no other sweep has an effect. */
async function start(t: Test, options: Options = {}) {
  const { limits = {}, isSecure = false, handler = (_, answer) => answer.end('ok') } = options
  let now = 0
  const watch = new SocketWatch({ ...socketLimits(10_000), ...limits }, () => now)
  const { cert, key } = authority.issue('a')
  const certificate = isSecure ? { cert: Buffer.from(cert), key: Buffer.from(key) } : null
  const server = createWatchedServer(certificate, watch, handler)
  const accepted: Socket[] = []
  server.on('connection', (socket: Socket) => void accepted.push(socket))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => watch.close())
  const { port } = server.address() as AddressInfo
  const open = async (bytes = '') => {
    const count = accepted.length
    const socket = isSecure
      ? connectTls({ port, host: 'localhost', ca: authority.ca, ALPNProtocols: ['http/1.1'] })
      : connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    await waitFor(() => accepted.length > count, 5_000, 'a connection')
    if (bytes !== '') socket.write(bytes)
    return socket
  }
  const at = (time: number) => {
    now = time
    watch.sweep()
  }
  return { watch, port, open, at, accepted }
}

const isOver = (socket: Socket) => waitFor(() => socket.resume().closed, 5_000, 'the end of a socket')

t.test(
  'past the bound, the socket that has waited longest for its first request goes, and requests get through',
  async t => {
    const { watch, open } = await start(t, { limits: { maxWaiting: 3 } })
    const flood: Socket[] = []
    for (let n = 0; n < 5; n++) flood.push(await open())
    await Promise.all([isOver(flood[0]!), isOver(flood[1]!)])
    const reader = await open(GET)
    const [answer] = await withDeadline(
      new Promise<Buffer[]>(resolve => reader.once('data', (...all) => resolve(all))),
      5_000,
      'the answer',
    )
    t.match(String(answer), /^HTTP\/1\.1 200/)
    t.equal(watch.evicted, 3)
    t.notOk(flood[4]!.destroyed)
  },
)

t.test('a flood of new sockets evicts none that was used before, and those have a bound of their own', async t => {
  const { watch, port, open, accepted } = await start(t, { limits: { maxWaiting: 3 } })
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const ask = () =>
    new Promise<boolean>((resolve, reject) => {
      const call = request({ port, host: '127.0.0.1', agent }, answer => {
        answer.resume().once('end', () => resolve(call.reusedSocket))
      })
      call.once('error', reject).end()
    })
  t.equal(await ask(), false)
  for (let n = 0; n < 10; n++) await open()
  await waitFor(() => watch.evicted === 7, 5_000, 'the flood to evict itself')
  t.equal(await ask(), true, 'the connection that was kept is there')
  for (let n = 0; n < 3; n++) await open(GET)
  await waitFor(() => watch.evicted === 8, 5_000, 'one that was kept too long to go')
  await waitFor(() => accepted[0]!.destroyed, 5_000, 'the oldest of them')
})

for (const isSecure of [false, true]) {
  t.test(
    `an answer of which nothing is taken for 30 s is cut, a slow reader's is not: ${isSecure ? 'TLS' : 'plain'}`,
    async t => {
      const bytes = Buffer.alloc(48 * 1_048_576)
      const { open, at, accepted } = await start(t, { isSecure, handler: (_, answer) => answer.end(bytes) })
      const reader = await open(GET)
      reader.pause()
      const waiting = () => Number(Reflect.get(Reflect.get(accepted[0]!, '_handle') ?? {}, 'writeQueueSize') ?? 0)
      const untilStuck = async () => {
        let last = -1
        let same = 0
        await waitFor(
          () => {
            same = waiting() > 0 && waiting() === last ? same + 1 : 0
            last = waiting()
            return same > 10
          },
          10_000,
          'the answer to be stuck',
        )
      }
      const take = (count: number) =>
        new Promise<void>(resolve => {
          let taken = 0
          reader.on('data', function onData(chunk: Buffer) {
            taken += chunk.length
            if (taken < count) return
            reader.off('data', onData).pause()
            resolve()
          })
          reader.resume()
        })
      await untilStuck()
      at(0)
      at(29_000)
      t.notOk(accepted[0]!.destroyed)
      await take(12 * 1_048_576)
      await untilStuck()
      at(31_000)
      at(60_000)
      t.notOk(accepted[0]!.destroyed, 'some of it was taken')
      at(61_000)
      t.ok(accepted[0]!.destroyed)
      await isOver(reader)
    },
  )
}

t.test('past the bytes that may wait for all peers together, the one that leaves the most unread goes', async t => {
  const sizes = [40, 60, 20].map(mebibytes => Buffer.alloc(mebibytes * 1_048_576))
  const { watch, open, at, accepted } = await start(t, {
    limits: { maxUnreadBytes: 100 * 1_048_576 },
    handler: (request, answer) => answer.end(sizes[Number(request.url!.slice(1))]),
  })
  for (const n of sizes.keys()) (await open(GET.replace('/', `/${n}`))).pause()
  await waitFor(() => accepted.every(socket => socket.writableLength > 0), 10_000, 'the answers to wait')
  at(1_000)
  t.same(
    accepted.map(({ destroyed }) => destroyed),
    [false, true, false],
  )
  t.equal(watch.evicted, 1)
})

t.test('requests that come by the hundred in one piece are not answered one by one', async t => {
  let handled = 0
  const { open } = await start(t, { handler: () => void handled++ })
  await isOver(await open(GET.repeat(1_000)))
  t.equal(handled, 256)
})

t.test(
  'from leave() on the newest answer of a socket says that it is the last, and nothing is handled behind it',
  async t => {
    const answers: ServerResponse[] = []
    const { watch, open } = await start(t, { handler: (_, answer) => void answers.push(answer) })
    const reader = await open(GET + GET)
    let text = ''
    reader.setEncoding('latin1').on('data', chunk => {
      text += chunk
    })
    await waitFor(() => answers.length === 2, 5_000, 'two requests')
    watch.leave()
    reader.write(GET)
    await waitFor(() => answers.length === 3, 5_000, 'a third one')
    answers[0]!.end('first')
    answers[1]!.end('second')
    answers[2]!.write('third')
    await waitFor(() => text.includes('third'), 5_000, 'the answers')
    reader.write(GET)
    // This request comes after it on another socket, so its answer shows that the first bytes were read.
    await open(GET)
    await waitFor(() => answers.length === 4, 5_000, 'the request of another socket')
    answers[2]!.end()
    answers[3]!.end()
    await isOver(reader)
    t.equal(answers.length, 4)
    const heads = text.split('HTTP/1.1 200 OK').slice(1)
    t.same(
      heads.map(head => /connection: close/i.test(head)),
      [false, false, true],
    )
  },
)

t.test('close() ends what is idle, answers what is there, and gives a connection that just came a moment', async t => {
  const answers: ServerResponse[] = []
  const { watch, open, at } = await start(t, {
    handler: (request, answer) => (request.url === '/held' ? void answers.push(answer) : answer.end('ok')),
  })
  const idle = await open(GET)
  await new Promise(resolve => idle.once('data', resolve))
  const held = await open(GET.replace('/', '/held'))
  const fresh = await open()
  await waitFor(() => answers.length === 1, 5_000, 'a request')
  await watch.close()
  await isOver(idle)
  fresh.write(GET)
  const answer = await new Promise(resolve => fresh.once('data', resolve))
  t.match(String(answer), /connection: close/i)
  at(2_900)
  answers[0]!.end('held')
  t.match(String(await new Promise(resolve => held.once('data', resolve))), /connection: close/i)
})
