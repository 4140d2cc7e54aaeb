import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { constants, createGunzip } from 'node:zlib'
import t, { type Test } from 'tap'
import { Crowd } from '../chaos/crowd.js'
import { createHttpDoor } from '../chaos/doors.js'
import { Ledger } from '../chaos/ledger.js'
import { Press } from '../chaos/presses.js'
import { Random } from '../chaos/random.js'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { findCommand, OwnedProcess } from '../helpers/owned-process.js'
import { freePort } from '../helpers/ports.js'
import { startRedis } from '../helpers/redis.js'
import { ResumingReader } from '../helpers/resuming-reader.js'

const CONFIG = fileURLToPath(new URL('../../../examples/nginx/nginx.conf', import.meta.url))
const READERS = 300
// A gateway serves nobody through a proxy without a credential. Here nginx adds one to every request.
const KEY = 'a-key-that-nginx-adds'
const skip = findCommand('nginx') === undefined && 'nginx is not installed'

interface Nginx {
  readonly url: string
  /** Reloads the configuration: new workers take new connections, and old ones end within a second or two. */
  reload(): Promise<void>
}

/** Starts nginx with the configuration of compose.yaml, this test's addresses, and `change` applied. */
async function startNginx(t: Test, gateways: Gateway[], change = (config: string) => config): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'tidings-nginx-'))
  const port = await freePort()
  const given = readFileSync(CONFIG, 'utf8')
  const changes: [string, string][] = [
    ['listen 8080 ', `listen 127.0.0.1:${port} `],
    ['pid /tmp/nginx.pid;', `pid ${folder}/nginx.pid;`],
    ['worker_shutdown_timeout 30s;', 'worker_shutdown_timeout 1s;'],
    [
      "proxy_set_header Connection '';",
      `proxy_set_header Connection ''; proxy_set_header Authorization 'Bearer ${KEY}';`,
    ],
    ...gateways.map((gateway, i): [string, string] => [`gateway-${i + 1}:3000`, `127.0.0.1:${gateway.port}`]),
  ]
  let config = given
  for (const [from, to] of changes) {
    if (!config.includes(from)) throw new Error(`nginx.conf has no '${from}'`)
    config = config.replace(from, to)
  }
  writeFileSync(join(folder, 'nginx.conf'), change(config))
  const args = ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr', '-g', 'daemon off; error_log stderr notice;']
  const nginx = new OwnedProcess({ command: 'nginx', args })
  t.teardown(async () => {
    await nginx.stop()
    rmSync(folder, { recursive: true })
  })
  nginx.start()
  const url = `http://127.0.0.1:${port}`
  const isUp = async () => nginx.isRunning && (await fetch(`${url}/metrics`).catch(() => null))?.status === 404
  await waitFor(isUp, 10_000, 'nginx to be up').catch(error => {
    throw new Error(`${error.message}; it wrote:\n${nginx.lines.join('\n')}`)
  })
  // nginx logs the start and the end of every worker, and a reload replaces them all.
  const workers = () => nginx.lines.filter(line => line.includes('start worker process ')).length
  const exits = () => nginx.lines.filter(line => line.includes('exited with code 0')).length
  return {
    url,
    reload: async () => {
      const before = workers()
      nginx.signal('SIGHUP')
      await waitFor(() => exits() >= before, 10_000, 'nginx to replace its workers')
    },
  }
}

async function startPair(t: Test): Promise<Gateway[]> {
  const redis = await startRedis(t)
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: redis.url, HEARTBEAT_MS: '1000', DRAIN_WINDOW_MS: '1000' }
  const ours = { API_KEYS: `nginx=${KEY}`, TRUST_PROXY: 'loopback', HISTORY_SIZE: '20000' }
  const start = () => startGateway(t, { ...env, ...ours }, { until: 'ready' })
  return Promise.all([start(), start()])
}

function publish(url: string, data: unknown): Promise<Response> {
  const body = JSON.stringify({ type: 'tick', data })
  return fetch(`${url}/v1/broadcast`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
}

/** Opens a stream that accepts gzip; `text()` gives the decoded text so far. */
function openZipped(t: Test, url: string): Promise<{ encoding: string | undefined; text: () => string }> {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { 'accept-encoding': 'gzip', accept: 'text/event-stream' } }, response => {
      const encoding = response.headers['content-encoding']
      let text = ''
      const body: Readable =
        encoding === 'gzip' ? response.pipe(createGunzip({ flush: constants.Z_SYNC_FLUSH })) : response
      body.on('data', chunk => {
        text += String(chunk)
      })
      // The end of the test cuts the gzip stream in the middle.
      body.on('error', () => {})
      resolve({ encoding, text: () => text })
    })
    request.on('error', reject)
    t.teardown(() => request.destroy())
  })
}

t.test('events come through nginx one by one', { skip }, async t => {
  const gateways = await startPair(t)
  const gzipAll = (config: string) =>
    config.replace(/gzip_types .*;/, 'gzip_types *; gzip_min_length 1; gzip_proxied any; gzip_buffers 16 8k;')

  for (const [name, change] of [
    ['as shipped', (config: string) => config],
    ['with gzip switched on for everything', gzipAll],
  ] as const) {
    t.test(name, async t => {
      const nginx = await startNginx(t, gateways, change)
      const stream = await openZipped(t, `${nginx.url}/v1/stream?user=1`)
      t.equal(stream.encoding, change === gzipAll ? 'gzip' : undefined)
      await waitFor(() => stream.text().includes('event: stream.open'), 5_000, 'the stream to open')
      for (let tick = 1; tick <= 5; tick++) {
        t.equal((await publish(nginx.url, tick)).status, 202)
        // The next event is published only after this one has come: a buffering proxy would hold it for ever.
        await waitFor(() => stream.text().includes(`data: ${tick}\n`), 2_000, `tick ${tick} to come`)
      }
    })
  }

  t.test('probes and metrics are not for the outside', async t => {
    const nginx = await startNginx(t, gateways)
    for (const path of ['/metrics', '/livez', '/readyz']) t.equal((await fetch(nginx.url + path)).status, 404, path)
  })
})

t.test(
  `a reload of nginx and a rolling restart under ${READERS} readers lose nothing`,
  { skip, timeout: 120_000 },
  async t => {
    const gateways = await startPair(t)
    const nginx = await startNginx(t, gateways)
    const ledger = new Ledger()
    const random = (name: string) => new Random(6, name)
    const rooms = Array.from({ length: 20 }, (_, i) => `project:${i}`)
    const users = Array.from({ length: 200 }, (_, i) => `u${i}`)
    const crowd = new Crowd({
      ledger,
      random: random('crowd'),
      urls: [nginx.url],
      readers: READERS,
      users,
      rooms,
      stalling: 0,
      churnMs: 0,
    })
    t.teardown(() => crowd.close())
    await crowd.open()
    const presses = ['a', 'b', 'c'].map(name => {
      const door = createHttpDoor(
        name,
        () => nginx.url,
        () => {},
      )
      return new Press(door, { ledger, random: random(name), rooms, users, pauseMs: 20 })
    })
    t.teardown(() => Promise.all(presses.map(press => press.stop())))
    const acknowledged = () => ledger.publications.filter(({ state }) => state === 'acknowledged').length
    const more = async (count: number) => {
      const from = acknowledged()
      await waitFor(() => acknowledged() >= from + count, 20_000, `${count} more events`)
    }

    const comeBacks = () => crowd.tallies.get('resumed true') ?? 0
    await more(100)
    await nginx.reload()
    await waitFor(() => comeBacks() >= READERS, 15_000, 'every reader to come back to a new worker')
    await more(100)
    for (const gateway of gateways) {
      t.equal(await gateway.stop(), 0, 'a replica that is told to stop exits in good order')
      await gateway.restart()
      await more(100)
    }
    await nginx.reload()
    await more(100)
    await Promise.all(presses.map(press => press.stop()))
    // The reconciliation below names events that are still owed, with the log of their reader.
    await waitFor(() => ledger.owed === 0, 20_000, 'all readers to have everything').catch(error => t.comment(error))

    const { counts, violations } = ledger.reconcile()
    t.same(violations.kept, [])
    t.match(counts, { silentlyLost: 0, duplicated: 0, reordered: 0, announcedLost: 0 })
    t.ok(crowd.tallies.get('closed: shutdown')! >= READERS / 2, 'the restarts closed streams')
    t.ok(comeBacks() >= 2.5 * READERS, 'reloads and restarts cut every reader')
    t.notOk(crowd.tallies.get('resumed false'), 'and each was told that it has everything')
    t.comment(`${counts.acknowledged} events, ${counts.delivered} deliveries`, Object.fromEntries(crowd.tallies))
  },
)

t.test('a reader outlives the time when no replica is there at all', { skip }, async t => {
  const gateways = await startPair(t)
  const nginx = await startNginx(t, gateways)
  const reader = new ResumingReader(t, `${nginx.url}/v1/stream?user=1`)
  await waitFor(() => reader.opens === 1, 5_000, 'the stream to open')
  for (const gateway of gateways) await gateway.kill()
  await waitFor(() => reader.sights.filter(({ kind }) => kind === 'connect').length >= 3, 15_000, 'it to try again')
  t.equal(reader.failure, undefined, 'nginx gave it no error status')
  for (const gateway of gateways) await gateway.restart()
  await waitFor(() => reader.opens === 2, 15_000, 'the stream to open again')
  t.equal((await publish(nginx.url, 'back')).status, 202)
  await waitFor(() => reader.events.some(({ data }) => data === 'back'), 5_000, 'the event')
})

t.test('publishers behind nginx get no error while a replica shuts down', { skip }, async t => {
  const gateways = await startPair(t)
  const nginx = await startNginx(t, gateways)
  const outcomes = new Map<number, number>()
  let isOver = false
  const publishers = [10, 20, 50, 100].map(async everyMs => {
    while (!isOver) {
      const { status } = await publish(nginx.url, 1)
      outcomes.set(status, (outcomes.get(status) ?? 0) + 1)
      await pause(everyMs)
    }
  })
  const more = async (count: number) => {
    const from = outcomes.get(202) ?? 0
    await waitFor(() => (outcomes.get(202) ?? 0) >= from + count, 20_000, `${count} more events`)
  }
  // nginx keeps its connections to the replica; the test needs them open when the replica is told to stop.
  await more(100)
  const headers = { authorization: `Bearer ${KEY}` }
  const reader = new ResumingReader(t, `${gateways[0]!.url}/v1/stream?user=1`, { headers })
  await waitFor(() => reader.opens === 1, 5_000, 'a stream, so that the drain takes its time')
  t.equal(await gateways[0]!.stop(), 0)
  await more(50)
  isOver = true
  await Promise.all(publishers)
  t.same([...outcomes.keys()], [202], JSON.stringify([...outcomes]))
})
