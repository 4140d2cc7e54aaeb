import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { createEmitter } from '../../src/emitter.js'
import { post } from '../helpers/app.js'
import { makeFolder, writePair } from '../helpers/certificate.js'
import { waitFor } from '../helpers/deadline.js'
import type { Gateway } from '../helpers/gateway.js'
import { openHttp2Stream, openSession } from '../helpers/http2.js'
import { startRedis } from '../helpers/redis.js'
import { authority } from '../helpers/secure-gateway.js'
import { openStream } from '../helpers/sse.js'
import { longestHoldMs, peakMemoryMiB, startVictim, watchLivez } from './victim.js'

t.setTimeout(170_000)

const KEY = 'root-key-0123456789'
const NARROW = 'narrow-key-0123456789'
const AS_ROOT = { authorization: `Bearer ${KEY}` }
const JSON_TYPE = { 'content-type': 'application/json' }
const STALLED = Number(process.env.STALLED_READERS ?? 100)
const QUEUE_LIMIT_BYTES = 262_144
const ROOMS = Array.from({ length: 8 }, (_, n) => `bulk:${n}`)
const LARGE = 'x'.repeat(60_000)
const MIB = 1_048_576

const ENV = {
  API_KEYS: `root=${KEY},narrow=${NARROW}|flood`,
  QUEUE_LIMIT_BYTES: `${QUEUE_LIMIT_BYTES}`,
  // Without rate limits, so that the publishers do their worst.
  RATE_LIMIT_PUBLISH: '0',
  RATE_LIMIT_ROOMS: '0',
  RATE_LIMIT_CONNECT: '0',
  MAX_CONNECTIONS_PER_USER: '5000',
  LOG_LEVEL: 'warn',
}

const redis = await startRedis(t)
const folder = await makeFolder(t)
const files = await writePair(folder, authority.issue('first'))
const plain = await startVictim(t, { ...ENV, LOG_LEVEL: 'info' })
const secure = await startVictim(t, {
  ...ENV,
  LOG_LEVEL: 'info',
  SSE_ADAPTER: 'redis',
  REDIS_URL: redis.url,
  TLS_CERT: files.cert,
  TLS_KEY: files.key,
  ADMIN_PORT: '0',
})
const emitter = createEmitter({ redisUrl: redis.url, onTrouble: () => {} })
t.teardown(() => emitter.close())
const stopWatching = watchLivez(t, [plain.url, secure.adminUrl])

/** Sends a GET for this path and never reads the answer. */
function stall(socket: Socket, path: string, lastEventId = ''): Socket {
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.pause()
  const position = lastEventId === '' ? '' : `Last-Event-ID: ${lastEventId}\r\n`
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${KEY}\r\n${position}\r\n`)
  return socket
}

const dial = ({ port }: Gateway) => connect(port, '127.0.0.1')
const dialTls = ({ port }: Gateway) =>
  connectTls({ port, host: 'localhost', ca: authority.ca, ALPNProtocols: ['http/1.1'] })
const metricOf = async ({ adminUrl }: Gateway, name: string) => {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
}

/** Opens one reader per gateway, in a room of its own: every tick must reach it in order, whatever happens to the others. */
async function startBystanders() {
  const near = await openStream(t, `${plain.url}/v1/stream?user=near&rooms=ticks`, { headers: AS_ROOT })
  const session = await openSession(t, secure.port, authority.ca)
  const far = await openHttp2Stream(session, '/v1/stream?user=far&rooms=ticks', AS_ROOT)
  const start = [(await near.next('stream.open')).id, (await far.next('stream.open')).id]
  let sent = 0
  let isOver = false
  const run = async () => {
    while (!isOver) {
      const data = sent
      const { status } = await post(`${plain.url}/v1/rooms/ticks/events`, `{"type":"tick","data":${data}}`, {
        ...AS_ROOT,
        ...JSON_TYPE,
      })
      t.equal(status, 202, `tick ${data}`)
      await emitter.publish('ticks', { type: 'tick', data })
      sent++
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
  const running = run()
  return {
    start,
    stop: async () => {
      isOver = true
      await running
      const expected = Array.from({ length: sent }, (_, n) => `${n}`)
      const ticks = (events: readonly { type: string; data: string }[]) =>
        events.filter(({ type }) => type === 'tick').map(({ data }) => data)
      await waitFor(() => [near, far].every(({ events }) => ticks(events).length >= sent), 10_000, 'every tick')
      t.ok(sent > 50, `${sent} ticks`)
      t.same(ticks(near.events), expected, 'every tick at the reader without TLS')
      t.same(ticks(far.events), expected, 'every tick at the reader over HTTP/2')
      const told = [...near.events, ...far.events].filter(({ type }) => /^stream\.(gap|close)$/.test(type))
      t.same(told, [], 'and neither was told of anything')
    },
  }
}

const bystanders = await startBystanders()
const [nearStart, farStart] = bystanders.start

t.test('20 readers that come back to 100 MiB and do not read, from memory and from Redis', async t => {
  for (let round = 0; round < 220; round += 10) {
    const batch = ROOMS.flatMap(to => Array.from({ length: 10 }, () => ({ to, type: 'bulk', data: LARGE })))
    for (let from = 0; from < batch.length; from += 16) await emitter.publishMany(batch.slice(from, from + 16))
    const headers = { ...AS_ROOT, ...JSON_TYPE }
    t.equal((await post(`${plain.url}/v1/events`, JSON.stringify(batch), headers)).status, 202)
  }
  const path = (n: number) => `/v1/stream?user=unread${n}&rooms=${ROOMS.join(',')}`
  for (let n = 0; n < 20; n++) {
    stall(dial(plain), path(n), nearStart)
    stall(dialTls(secure), path(n), farStart)
  }
  const open = () => Promise.all([plain, secure].map(each => metricOf(each, 'tidings_connections')))
  await waitFor(async () => (await open()).every(count => count >= 21), 20_000, 'all of them to be open')
  const wait = ({ adminUrl }: Gateway) => metricOf({ adminUrl } as Gateway, 'tidings_queue_bytes')
  await waitFor(async () => (await wait(secure)) > 100_000, 20_000, 'something to wait for them')
})

t.test('1,000 TLS handshakes that are never finished are cut after their time', async t => {
  // A TLS record that ends before the length that it states.
  const beginnings = [Buffer.alloc(0), Buffer.from('160301020001', 'hex')]
  let cut = 0
  for (let n = 0; n < 1_000; n++) {
    const socket = dial(secure)
    t.teardown(() => socket.destroy())
    socket.on('error', () => {}).on('close', () => void cut++)
    socket.resume().write(beginnings[n % 2]!)
  }
  await waitFor(() => cut === 1_000, 40_000, 'all of them to be cut')
})

t.test(`${STALLED} readers that stall are bounded by their queues`, async t => {
  if (STALLED < 2_000) t.comment('socket buffers cannot be made small here: fewer readers stall')
  const before = await metricOf(plain, 'tidings_connections')
  for (let from = 0; from < STALLED; from += 100) {
    for (let n = from; n < from + 100; n++) stall(dial(plain), `/v1/stream?user=stalled${n}&rooms=flood`)
    await waitFor(async () => (await metricOf(plain, 'tidings_connections')) >= before + from + 100, 20_000, 'streams')
  }
  const publish = (batch: object[]) =>
    post(`${plain.url}/v1/events`, JSON.stringify(batch), { authorization: `Bearer ${NARROW}`, ...JSON_TYPE })
  let queued = 0
  const slow = () => metricOf(plain, 'tidings_connections_closed_total{reason="slow"}')
  // Large frames, and small ones: these cost the most per byte.
  for (let round = 0; round < 400 && !((await slow()) > STALLED / 2); round++) {
    const batch = Array.from({ length: 20 }, (_, n) => ({
      to: 'flood',
      type: 'bulk',
      data: LARGE.slice(0, n === 0 ? 6_000 : 40),
    }))
    t.equal((await publish(batch)).status, 202)
    queued = Math.max(queued, await metricOf(plain, 'tidings_queue_bytes'))
  }
  t.ok((await slow()) > 0 || queued > STALLED * 100_000, `${Math.round(queued / MIB)} MiB waited`)
})

t.test('batches that are long to read, malformed messages on every channel', async t => {
  const headers = { authorization: `Bearer ${NARROW}`, ...JSON_TYPE }
  const shapes = [
    `[{"to":"flood","type":"a","data":${'['.repeat(4_000_000)}${']'.repeat(4_000_000)}}]`,
    `[{"to":"flood","type":"a","data":{${'"a":1,'.repeat(1_300_000)}"b":1}}]`,
    `[${'{},'.repeat(2_700_000)}{}]`,
    `[{"to":"flood","type":"a","data":"${'\\u0041'.repeat(1_300_000)}"}]`,
    `${'['.repeat(8_000_000)}`,
    `[${' '.repeat(8_000_000)}]`,
  ]
  const lines = ['\n'.repeat(8_000_000), '{}\n'.repeat(2_700_000), ' \n'.repeat(4_000_000)]
  for (const shape of shapes) {
    const { status } = await post(`${plain.url}/v1/events`, shape, headers)
    t.ok(status === 400 || status === 413, `${status} for ${shape.slice(0, 60)}`)
  }
  for (const shape of lines) {
    const type = { ...headers, 'content-type': 'application/x-ndjson' }
    const { status } = await post(`${plain.url}/v1/events`, shape, type)
    t.ok(status === 400 || status === 413, `${status} for ${JSON.stringify(shape.slice(0, 20))}`)
  }
  for (const channel of (await redis.command('PUBSUB', 'CHANNELS', '*')) as string[]) {
    for (const message of [
      '',
      '5',
      '"text"',
      '{"id":"a","command":5}',
      'E\nk\n1\n1\n9007199254740991\nroom\n',
      'B\n\n',
    ]) {
      await redis.command('PUBLISH', channel, message)
    }
  }
})

t.test('both gateways live, answered all the while, and every tick arrived', async t => {
  await bystanders.stop()
  t.ok(plain.isRunning && secure.isRunning)
  const livez = await stopWatching()
  for (const [url, { asked, failed, longestMs }] of Object.entries(livez)) {
    t.comment(`${url}/livez: ${asked} answers, the slowest after ${Math.round(longestMs)} ms`)
    t.ok(asked > 50, 'it was asked all the while')
    t.equal(failed, 0, 'and always answered')
  }
  for (const gateway of [plain, secure]) {
    const heldMs = await longestHoldMs(gateway)
    t.ok(heldMs < 200, `its event loop was held for ${Math.round(heldMs)} ms at most`)
  }
  const bound = 400 + (STALLED * (QUEUE_LIMIT_BYTES + QUEUE_LIMIT_BYTES / 4)) / MIB
  t.ok(peakMemoryMiB(plain) < bound, `${Math.round(peakMemoryMiB(plain))} MiB of ${Math.round(bound)}`)
  t.ok(peakMemoryMiB(secure) < 450, `${Math.round(peakMemoryMiB(secure))} MiB`)
})
