import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { post } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'

// Limits over two replicas that share a Redis, and on one replica with a small heap.

const ROOT = 'key-of-the-operator'
const NARROW = 'key-of-a-narrow-one'
const API_KEYS = `root=${ROOT},jobs=${NARROW}|session:*`
const MIB = 1_048_576

const headersOf = (key: string) => ({ 'content-type': 'application/json', authorization: `Bearer ${key}` })
const batch = ({ url }: Gateway, key: string, count: number, roomOf: (n: number) => string) => {
  const items = Array.from({ length: count }, (_, n) => ({ to: roomOf(n), type: 'a' }))
  return post(`${url}/v1/events`, JSON.stringify(items), headersOf(key))
}

async function startPair(t: Test, env: Record<string, string>) {
  const redis = await startRedis(t)
  const start = () =>
    startGateway(t, { SSE_ADAPTER: 'redis', REDIS_URL: redis.url, API_KEYS, ...env }, { until: 'ready' })
  const [a, b] = await Promise.all([start(), start()])
  return { redis, a, b }
}

t.test('events of batches are counted over all replicas', async t => {
  const { a, b } = await startPair(t, { RATE_LIMIT_PUBLISH: '10' })
  t.equal((await batch(a, ROOT, 1_000, () => 'hub')).status, 202)
  let passed = 0
  for (let n = 0; n < 20; n++) if ((await batch(b, ROOT, 1_000, () => 'hub')).status === 202) passed++
  t.ok(passed <= 1, `${passed} of 20 passed the other replica`)
  t.equal((await batch(a, ROOT, 1_000, () => 'hub')).status, 429)
  t.equal((await batch(b, NARROW, 1_000, () => 'session:a')).status, 202, 'another publisher has its own')
})

t.test('new rooms are counted over all replicas, and known ones not', async t => {
  const { a, b, redis } = await startPair(t, { RATE_LIMIT_ROOMS: '1000' })
  for (let n = 0; n < 4; n++) t.equal((await batch([a, b][n % 2]!, NARROW, 900, i => `session:${i}`)).status, 202)
  let passed = 0
  for (let n = 0; n < 20; n++) {
    if ((await batch([a, b][n % 2]!, NARROW, 1_000, i => `session:${n}:${i}`)).status === 202) passed++
  }
  t.ok(passed <= 2, `${passed} of 20: one a replica`)
  t.ok(Number(await redis.command('DBSIZE')) < 4_000, 'Redis holds hardly more')
})

t.test('while Redis does not answer, requests are counted all the same', async t => {
  const { a, redis } = await startPair(t, { RATE_LIMIT_PUBLISH: '5' })
  await redis.kill()
  const answers = await Promise.all(Array.from({ length: 40 }, () => batch(a, ROOT, 1, () => 'hub')))
  const codes = new Set(answers.map(({ body }) => body.code))
  t.ok(codes.has('TIDINGS_RATE_LIMITED'), [...codes].join())
})

interface Upload {
  readonly socket: Socket
  readonly answer: () => string
}

/** Opens an upload; `head` announces how its body will come. */
async function upload(
  t: Test,
  { port }: Pick<Gateway, 'port'>,
  key: string,
  path: string,
  head: string,
): Promise<Upload> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let answer = ''
  socket.on('error', () => {})
  socket.setEncoding('latin1').on('data', text => {
    answer += text
  })
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n${head}\r\n\r\n`,
  )
  return { socket, answer: () => answer }
}

/** Resolves when the bytes are sent or the socket has closed. */
function send(socket: Socket, bytes: string): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      socket.off('close', done)
      resolve()
    }
    socket.once('close', done)
    socket.write(bytes, done)
  })
}

/** A part of a batch with this many bytes. */
function part(bytes: number): string {
  const empty = '{"to":"session:a","type":"a","data":""},'
  const items = Math.ceil(bytes / 60_000)
  const padding = bytes - items * empty.length
  const each = Math.floor(padding / items)
  const sizes = Array.from({ length: items }, (_, n) => each + (n === 0 ? padding - each * items : 0))
  return sizes.map(size => `{"to":"session:a","type":"a","data":"${'x'.repeat(size)}"},`).join('')
}

const SMALL_HEAP = { nodeArgs: ['--max-old-space-size=128'] }

t.test('of 20 slow uploads of 8 MiB the first ones go on, the rest are refused, and others publish', async t => {
  const gateway = await startGateway(t, { API_KEYS }, SMALL_HEAP)
  const size = 8 * MIB
  const uploads: Upload[] = []
  for (let n = 0; n < 20; n++) {
    const each = await upload(t, gateway, NARROW, '/v1/events', `Content-Length: ${size}`)
    uploads.push(each)
    for (let mib = 0; mib < 7; mib++) await send(each.socket, `${mib === 0 ? '[' : ' '}${part(MIB - 1)}`)
  }
  const refused = () => uploads.filter(({ answer }) => answer().startsWith('HTTP/1.1 503'))
  await waitFor(() => refused().length >= 19, 10_000, 'the uploads beyond the bound to be refused')
  t.equal(refused().length, 19, 'a heap of 128 MB has room for one of a publisher')
  t.match(refused()[0]!.answer(), /\r\nretry-after: 1\r\n/i)
  t.match(refused()[0]!.answer(), /TIDINGS_BODIES_TOO_LARGE.*publisher 'jobs' has \d+ bytes .* at most 12582912 /)
  t.equal((await batch(gateway, ROOT, 1_000, () => 'hub')).status, 202, 'another publisher goes on')
  const kept = uploads.find(each => !refused().includes(each))!
  await send(kept.socket, `${part(MIB - 100)}{"to":"session:a","type":"a"}]`.padEnd(MIB))
  await waitFor(() => kept.answer() !== '', 10_000, 'the first upload to be answered')
  t.match(kept.answer(), /^HTTP\/1\.1 202 /)
  t.equal((await batch(gateway, NARROW, 1_000, () => 'session:a')).status, 202, 'what it held was given back')
})

t.test('of several whole batches that come side by side, at least one gets through', async t => {
  const gateway = await startGateway(t, { API_KEYS }, SMALL_HEAP)
  const uploads: Upload[] = []
  for (let n = 0; n < 4; n++) {
    uploads.push(await upload(t, gateway, NARROW, '/v1/events', `Content-Length: ${8 * MIB}`))
  }
  for (let n = 0; n < 31; n++) {
    await Promise.all(uploads.map(({ socket }) => send(socket, `${n === 0 ? '[' : ' '}${part(MIB / 4 - 1)}`)))
  }
  for (const { socket } of uploads)
    await send(socket, `${part(MIB / 4 - 100)}{"to":"session:a","type":"a"}]`.padEnd(MIB / 4))
  await waitFor(() => uploads.every(({ answer }) => answer() !== ''), 10_000, 'an answer to each')
  const statuses = uploads.map(({ answer }) => answer().slice(9, 12))
  t.ok(statuses.includes('202') && statuses.includes('503'), statuses.join())
})

t.test('a body for no route is not read, in however many pieces it comes, on the admin port neither', async t => {
  const gateway = await startGateway(t, { API_KEYS, ADMIN_PORT: '0' }, SMALL_HEAP)
  const pieces = '1\r\n \r\n'.repeat(100_000)
  for (const port of [gateway.port, Number(new URL(gateway.adminUrl).port)]) {
    const { socket, answer } = await upload(t, { port }, 'nobody', '/nothing', 'Transfer-Encoding: chunked')
    for (let n = 0; n < 10 && !socket.destroyed; n++) await send(socket, pieces)
    await waitFor(() => answer() !== '', 10_000, 'the answer, before the end of the body')
    t.match(answer(), /^HTTP\/1\.1 404 [\s\S]*TIDINGS_NOT_FOUND/)
  }
  t.equal((await batch(gateway, NARROW, 10, () => 'session:a')).status, 202)
})

t.test(
  'a body in pieces of one byte costs what it holds, and is refused before it is the end of a small heap',
  async t => {
    const gateway = await startGateway(t, { API_KEYS }, SMALL_HEAP)
    const { socket, answer } = await upload(t, gateway, NARROW, '/v1/events', 'Transfer-Encoding: chunked')
    const pieces = '1\r\n \r\n'.repeat(100_000)
    for (let n = 0; n < 40 && !socket.destroyed && answer() === ''; n++) await send(socket, pieces)
    await waitFor(() => answer() !== '' || socket.destroyed, 10_000, 'an answer')
    t.match(answer(), /^HTTP\/1\.1 503 [\s\S]*TIDINGS_BODIES_TOO_LARGE/)
    t.ok(gateway.isRunning)
    t.equal((await batch(gateway, NARROW, 10, () => 'session:a')).status, 202)
  },
)

t.test('bodies for tickets are bounded with the others', async t => {
  const gateway = await startGateway(t, { API_KEYS }, SMALL_HEAP)
  const uploads: Upload[] = []
  for (let n = 0; n < 250; n++) {
    const each = await upload(t, gateway, NARROW, '/v1/tickets', 'Content-Length: 65000')
    uploads.push(each)
    await send(each.socket, ' '.repeat(64_000))
  }
  const refused = () => uploads.filter(({ answer }) => answer().startsWith('HTTP/1.1 503')).length
  await waitFor(() => refused() > 40, 10_000, 'those beyond the bound to be refused')
  t.ok(refused() < 70, `${refused()} of 250`)
})
