import { Agent, type IncomingMessage, request } from 'node:http'
import type { ClientHttp2Session } from 'node:http2'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import tidings from '../../src/app.js'
import { listen, startApp } from '../helpers/app.js'
import { waitFor, withDeadline } from '../helpers/deadline.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { openHttp2Stream, openSession } from '../helpers/http2.js'
import { authority, startSecure } from '../helpers/secure-gateway.js'
import { openStream } from '../helpers/sse.js'

const DRAIN = { DRAIN_DELAY_MS: '500', DRAIN_WINDOW_MS: '1000' }
const BODY = '{"type":"tick","data":1}'
const POST = { method: 'POST', path: '/v1/broadcast', headers: { 'content-type': 'application/json' } }

interface Tally {
  /** Counts of publishes, by status or by error code. */
  readonly outcomes: Map<string, number>
  /** Answers of the first port after SIGTERM without `Connection: close`. */
  keptOpen: number
}

const count = ({ outcomes }: Tally, outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)

/** Publishes over one kept connection until `isOver`. When a port refuses to connect it goes to the next one. */
async function publishOn(
  ports: number[],
  tally: Tally,
  isLeaving: () => boolean,
  isOver: () => boolean,
  everyMs: number,
) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let at = 0; !isOver(); ) {
    const wasLeaving = isLeaving()
    try {
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const call = request({ ...POST, agent, host: '127.0.0.1', port: ports[at]! }, resolve)
        call.once('error', reject).end(BODY)
      })
      answer.resume()
      count(tally, String(answer.statusCode))
      if (at === 0 && wasLeaving && answer.headers.connection !== 'close') tally.keptOpen++
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ECONNREFUSED' && at + 1 < ports.length) at++
      else count(tally, String(code))
    }
    // This pause sets the rate of the publishes; it does not wait for anything.
    await pause(everyMs)
  }
  agent.destroy()
}

async function untilRefused(port: number): Promise<void> {
  const isRefused = () =>
    new Promise<boolean>(resolve => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(false)).once('error', () => resolve(true))
      socket.once('connect', () => socket.destroy())
    })
  await waitFor(isRefused, 10_000, `${port} to refuse`)
}

/** Sends the first half of a publish; `finish` sends the rest and resolves with the answer. */
async function beginUpload(t: Test, port: number) {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let answer = ''
  const over = new Promise<void>(resolve => socket.once('close', () => resolve()))
  socket
    .on('error', () => {})
    .setEncoding('latin1')
    .on('data', text => {
      answer += text
    })
  const head =
    'POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n'
  socket.write(`${head}Content-Length: ${BODY.length}\r\n\r\n${BODY.slice(0, 5)}`)
  // `100 Continue` shows that the gateway has the request.
  await waitFor(() => answer.startsWith('HTTP/1.1 100'), 5_000, 'the request to be read')
  return async () => {
    answer = ''
    socket.write(BODY.slice(5))
    await withDeadline(over, 5_000, 'the end of the connection')
    return answer
  }
}

t.test('no request of a publisher ends without an answer while its replica shuts down', async t => {
  const gateways = await Promise.all([startGateway(t, DRAIN), startGateway(t)])
  const [leaving] = gateways as [Gateway, Gateway]
  const streams = await Promise.all(Array.from({ length: 20 }, () => openStream(t, `${leaving.url}/v1/stream`)))
  await Promise.all(streams.map(stream => stream.next('stream.open')))
  const tally: Tally = { outcomes: new Map(), keptOpen: 0 }
  let isLeaving = false
  let isOver = false
  const ports = gateways.map(({ port }) => port)
  const publishers = [0, 0, 5, 5, 20, 20, 150, 150, 400, 400].map(everyMs =>
    publishOn(
      ports,
      tally,
      () => isLeaving,
      () => isOver,
      everyMs,
    ),
  )
  await waitFor(() => (tally.outcomes.get('202') ?? 0) > 200, 10_000, 'publishes')
  leaving.signal('SIGTERM')
  await waitFor(async () => (await fetch(`${leaving.url}/readyz`)).status === 503, 5_000, 'readiness to fail')
  isLeaving = true
  t.equal(await leaving.exited, 0)
  const before = tally.outcomes.get('202')!
  await waitFor(() => tally.outcomes.get('202')! > before + 100, 10_000, 'publishes at the other replica')
  isOver = true
  await Promise.all(publishers)
  t.same([...tally.outcomes.keys()], ['202'], JSON.stringify([...tally.outcomes]))
  t.equal(tally.keptOpen, 0, 'each answer said that its connection ends')
})

t.test(
  'from SIGTERM on every answer says that its connection ends: errors, probes, and what was on its way',
  async t => {
    const gateway = await startGateway(t, { DRAIN_DELAY_MS: '60000', ADMIN_PORT: '0' })
    const finish = await beginUpload(t, gateway.port)
    gateway.signal('SIGTERM')
    await waitFor(async () => (await fetch(`${gateway.adminUrl}/readyz`)).status === 503, 5_000, 'readiness to fail')
    const agent = new Agent({ keepAlive: true })
    t.teardown(() => agent.destroy())
    for (const [url, status] of [
      [`${gateway.adminUrl}/livez`, 200],
      [`${gateway.adminUrl}/readyz`, 503],
      [`${gateway.adminUrl}/metrics`, 200],
      [`${gateway.url}/openapi.json`, 200],
      [`${gateway.url}/nowhere`, 404],
      [`${gateway.url}/v1/stream?envelope=x`, 400],
    ] as const) {
      const answer = await new Promise<IncomingMessage>(resolve => void request(url, { agent }, resolve).end())
      answer.resume()
      t.match({ status: answer.statusCode, ...answer.headers }, { status, connection: 'close' }, url)
    }
    const answer = await finish()
    t.match(answer, /^HTTP\/1\.1 202 /)
    t.match(answer, /connection: close/i)
  },
)

t.test('a body that is still on its way when the server closes is read, and answered', async t => {
  const gateway = await startGateway(t, { DRAIN_WINDOW_MS: '0' })
  const finish = await beginUpload(t, gateway.port)
  gateway.signal('SIGTERM')
  await untilRefused(gateway.port)
  t.match(await finish(), /^HTTP\/1\.1 202 [\s\S]*connection: close/i)
  t.equal(await gateway.exited, 0)
})

t.test('a publish that is never whole keeps no gateway from ending', async t => {
  const gateway = await startGateway(t, { DRAIN_WINDOW_MS: '0' })
  await beginUpload(t, gateway.port)
  const startedAt = performance.now()
  t.equal(await gateway.stop(15_000), 0)
  t.ok(performance.now() - startedAt < 8_000)
})

for (const [name, start] of [
  ['a gateway of its own', (t: Test) => startApp(t)],
  [
    "an application's",
    async (t: Test) => {
      const app = Fastify()
      await app.register(tidings, { logLevel: 'silent' })
      return listen(t, app)
    },
  ],
] as [string, (t: Test) => Promise<{ app: FastifyInstance; url: string }>][]) {
  t.test(`app.close() ends streams, answers what is on its way, then closes the bus: ${name}`, async t => {
    const { app, url } = await start(t)
    const port = Number(new URL(url).port)
    const stream = await openStream(t, `${url}/v1/stream`)
    await stream.next('stream.open')
    const finish = await beginUpload(t, port)
    const closed = app.close()
    t.match((await stream.next('stream.close')).data, /"shutdown"/)
    await stream.ended
    await untilRefused(port)
    t.match(await finish(), /^HTTP\/1\.1 202 /)
    await withDeadline(closed, 5_000, 'the end of the application')
    await t.rejects(app.tidings.publish('hub', { type: 'a', data: 1 }), { code: 'TIDINGS_CLOSED' })
  })
}

/** Publishes over HTTP/2 until `isOver`. Requests that a GOAWAY leaves unprocessed are sent again, as browsers and Go do. */
async function publishOverHttp2(t: Test, ports: number[], tally: Tally, isOver: () => boolean) {
  const { ca } = authority
  let at = 0
  let session: ClientHttp2Session | null = null
  let last = Number.POSITIVE_INFINITY
  while (!isOver()) {
    if (session === null || session.closed || session.destroyed) {
      last = Number.POSITIVE_INFINITY
      session = await openSession(t, ports[at]!, ca).catch(() => null)
      if (session === null) at++
      session?.once('goaway', (_, lastStream: number) => {
        last = lastStream
      })
      continue
    }
    const outcome = await new Promise<string>(resolve => {
      const stream = session!.request({ ':method': 'POST', ':path': POST.path, ...POST.headers })
      let status = 'none'
      stream
        .on('error', () => {})
        .on('response', head => {
          status = String(head[':status'])
        })
      stream.once('close', () => resolve(status === 'none' && (stream.id ?? 0) > last ? 'again' : status))
      stream.resume().end(BODY)
    })
    if (outcome !== 'again') count(tally, outcome)
    // Let the remaining bytes be read.
    await pause(1)
  }
}

t.test('over HTTP/2 GOAWAY says what was taken: that is answered, and streams go on until the drain', async t => {
  const env = { ...DRAIN, DRAIN_DELAY_MS: '1500' }
  const pair = await Promise.all([startSecure(t, env), startSecure(t, env)])
  const [leaving, staying] = pair.map(({ gateway }) => gateway) as [Gateway, Gateway]
  const session = await openSession(t, leaving.port, authority.ca)
  const wentAway = new Promise<void>(resolve => session.once('goaway', () => resolve()))
  const reader = await openHttp2Stream(session, '/v1/stream?user=1')
  await reader.next('stream.open')
  const tally: Tally = { outcomes: new Map(), keptOpen: 0 }
  let isOver = false
  const ports = [leaving.port, staying.port]
  const publishers = [1, 2, 3, 4].map(() => publishOverHttp2(t, ports, tally, () => isOver))
  await waitFor(() => (tally.outcomes.get('202') ?? 0) > 100, 10_000, 'publishes')
  leaving.signal('SIGTERM')
  await withDeadline(wentAway, 5_000, 'GOAWAY')
  const seen = reader.events.length
  await waitFor(() => reader.events.length > seen + 5, 5_000, 'events on the stream after it')
  t.match((await reader.next('stream.close')).data, /"shutdown"/)
  t.equal(await leaving.exited, 0)
  const before = tally.outcomes.get('202')!
  await waitFor(() => tally.outcomes.get('202')! > before + 50, 10_000, 'publishes at the other replica')
  isOver = true
  await Promise.all(publishers)
  t.same([...tally.outcomes.keys()], ['202'], JSON.stringify([...tally.outcomes]))
})
