import { writeFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createEmitter } from '../../src/emitter.js'
import { RedisUnavailable, RedisUncertain } from '../../src/redis/failure.js'
import { RedisLink } from '../../src/redis/link.js'
import { loadScript } from '../../src/redis/script.js'
import { type Link, startLink } from '../chaos/proxy.js'
import { draft, listenTo, payloads } from '../helpers/bus.js'
import { makeFolder } from '../helpers/certificate.js'
import { waitFor } from '../helpers/deadline.js'
import { OwnedProcess } from '../helpers/owned-process.js'
import { freePort } from '../helpers/ports.js'
import { type RedisServer, startRedis } from '../helpers/redis.js'
import { createRedisBus } from '../helpers/redis-bus.js'
import { startSentinel } from '../helpers/sentinel.js'

const beacon = loadScript(new URL('../../src/bus/redis.js', import.meta.url).href, 'counter.lua', 'beacon.lua')

/** Connects a link that subscribes to one channel, and counts its callbacks. */
function watchedLink(t: Test, url: string) {
  const heard = { subscribed: 0, unsubscribed: 0, ready: 0, messages: [] as string[], troubles: [] as string[] }
  const link = new RedisLink({ url, onTrouble: error => void heard.troubles.push(error.message) })
  link.subscribe('news', message => void heard.messages.push(message.toString()))
  link.onSubscribed(() => void heard.subscribed++)
  link.onUnsubscribed(() => void heard.unsubscribed++)
  link.onReady(() => void heard.ready++)
  t.teardown(() => link.close())
  link.connect()
  return { link, heard }
}

const busOn = (url: string) => createRedisBus(url, { prefix: 'tidings:' }).bus

async function clientsOf(redis: RedisServer): Promise<string[]> {
  const list = String(await redis.command('CLIENT', 'LIST'))
  return (list.match(/name=tidings-(commands|subscriber)/g) ?? [])
    .map(name => name.slice('name=tidings-'.length))
    .sort()
}

/** Starts a server that counts its connections and hands them to `onSocket`. */
async function startStub(t: Test, onSocket: (socket: Socket) => void) {
  const port = await freePort()
  const state = { count: 0, port }
  const sockets = new Set<Socket>()
  const server: Server = createServer(socket => {
    state.count++
    sockets.add(socket)
    socket.on('error', () => {})
    onSocket(socket)
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return state
}

t.test('both connections come back after every kind of break, subscribed, and no listener piles up', async t => {
  const warnings: string[] = []
  const onWarning = (warning: Error) => void warnings.push(String(warning))
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const redis = await startRedis(t)
  const { link, heard } = watchedLink(t, redis.url)
  await waitFor(() => link.isReady && link.isSubscriberReady, 5_000, 'both')
  for (let round = 1; round <= 15; round++) {
    const before = { ...heard }
    await redis.command('CLIENT', 'KILL', 'TYPE', round % 2 === 0 ? 'normal' : 'pubsub')
    if (round % 3 === 0) link.renewSubscriber()
    // The link makes only the lost connections anew.
    await waitFor(() => heard.unsubscribed > before.unsubscribed || heard.ready > before.ready, 5_000, 'a break')
    await waitFor(() => link.isReady && link.isSubscriberReady, 5_000, 'both again')
    await redis.command('PUBLISH', 'news', `${round}`)
    await waitFor(() => heard.messages.at(-1) === `${round}`, 5_000, 'the news')
  }
  t.equal(heard.subscribed, heard.unsubscribed + 1, 'each loss is told once, and each return')
  t.same(
    heard.messages,
    Array.from({ length: 15 }, (_, n) => `${n + 1}`),
    'every message once',
  )
  t.equal((await clientsOf(redis)).length, 2, 'no connection is left behind')
  t.same(warnings, [])
})

t.test('a hundred publishes that wait for Redis wait without a warning, and all are sent when it is there', async t => {
  const warnings: string[] = []
  const onWarning = (warning: Error) => void warnings.push(String(warning))
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const port = await freePort()
  const emitter = createEmitter({ redisUrl: `redis://127.0.0.1:${port}`, connectTimeoutMs: 10_000 })
  t.teardown(() => emitter.close())
  const publishes = Promise.all(Array.from({ length: 100 }, (_, n) => emitter.emit(`${n}`, { type: 'x' })))
  await startRedis(t, { port })
  const ids = new Set((await publishes).map(({ id }) => id))
  t.equal(ids.size, 100)
  t.same(warnings, [])
})

t.test('a server that closes every connection is tried a few times a second, not in a loop', async t => {
  const stub = await startStub(t, socket => socket.destroy())
  const { link } = watchedLink(t, `redis://127.0.0.1:${stub.port}`)
  const startedAt = performance.now()
  await waitFor(() => performance.now() - startedAt > 4_000, 6_000, 'four seconds to pass')
  t.ok(stub.count >= 4 && stub.count <= 20, `${stub.count} tries of two connections in 4 s`)
  t.equal(link.isReady, false)
})

t.test('a command that gets no answer fails as uncertain in time, and the connection is given up', async t => {
  const redis = await startRedis(t)
  const { link, heard } = watchedLink(t, redis.url)
  await waitFor(() => link.isReady && link.isSubscriberReady, 5_000, 'both')
  redis.freeze()
  const startedAt = performance.now()
  const keys = ['state']
  const asked = Array.from({ length: 20 }, () => link.run(beacon, keys, ['life', 'news', 'mark']))
  const outcomes = await Promise.allSettled(asked)
  t.ok(performance.now() - startedAt < 2_000, 'in under 2 s')
  t.ok(outcomes.every(outcome => outcome.status === 'rejected' && outcome.reason instanceof RedisUncertain))
  link.pingSubscriber()
  await waitFor(() => !link.isReady && !link.isSubscriberReady, 8_000, 'both to be given up')
  t.ok(heard.troubles.some(trouble => /Socket timeout/.test(trouble)))
  const refused = await link.run(beacon, keys, ['life', 'news', 'mark']).catch((error: unknown) => error)
  t.ok(refused instanceof RedisUnavailable)
  redis.thaw()
  await waitFor(() => link.isReady && link.isSubscriberReady, 8_000, 'both again')
  t.ok(Array.isArray(await link.run(beacon, keys, ['life', 'news', 'mark'])))
})

t.test('a process that was held up takes the answers that came meanwhile', async t => {
  const redis = await startRedis(t)
  const { link } = watchedLink(t, redis.url)
  await waitFor(() => link.isReady, 5_000, 'the connection')
  const run = () => link.run(beacon, ['state'], ['life', 'news', 'mark'])
  await run()
  const answer = run()
  const held = new Int32Array(new SharedArrayBuffer(4))
  Atomics.wait(held, 0, 0, 2_000)
  t.ok(Array.isArray(await answer))
})

t.test('a primary that is demoted refuses, and takes events again when it is back', async t => {
  const redis = await startRedis(t)
  const other = await startRedis(t)
  const bus = busOn(redis.url)
  const heard = await listenTo(t, bus, ['hub'])
  await bus.publish([draft('hub', 1)])
  await redis.command('REPLICAOF', '127.0.0.1', `${other.port}`)
  const publish = (data: number) =>
    bus.publish([draft('hub', data)]).then(
      () => 'taken',
      (error: { code: string }) => error.code,
    )
  await waitFor(async () => (await publish(2)) === 'TIDINGS_BUS_UNAVAILABLE', 5_000, 'a refusal')
  await redis.command('REPLICAOF', 'NO', 'ONE')
  await waitFor(async () => (await publish(3)) === 'taken', 5_000, 'it to be taken again')
  await waitFor(() => payloads(heard.events).includes(3), 5_000, 'the event')
  await waitFor(() => bus.health().status === 'ok', 5_000, 'the bus to be well')
})

t.test('a primary that is cut off from its Sentinels, and not from here, is left by both connections', async t => {
  const links = new Map<number, Link>()
  const announce = async (port: number) => {
    const link = await startLink(t, port)
    links.set(port, link)
    return link.port
  }
  const set = await startSentinel(t, { announce })
  const old = await set.master()
  const bus = busOn(set.url)
  const heard = await listenTo(t, bus, ['hub'])
  t.same(await clientsOf(old), ['commands', 'subscriber'])
  links.get(old.port)!.isolate(true)
  const next = await set.untilMasterIsNot(old)
  await waitFor(async () => (await clientsOf(next)).length === 2, 8_000, 'both to be at the new primary')
  t.same(await clientsOf(old), [])
  await waitFor(
    () =>
      bus.publish([draft('hub', 'after')]).then(
        () => true,
        () => false,
      ),
    5_000,
    'a publish',
  )
  await waitFor(() => payloads(heard.events).includes('after'), 5_000, 'the event')
})

t.test(
  'Sentinels that die and come back change nothing for who is connected, and a new one can find the primary',
  async t => {
    const set = await startSentinel(t, { sentinels: 3 })
    const { link, heard } = watchedLink(t, set.url)
    await waitFor(() => link.isReady && link.isSubscriberReady, 5_000, 'both')
    for (const { process } of set.sentinels) await process.kill()
    const master = set.nodes[0]!
    await master.command('CLIENT', 'KILL', 'TYPE', 'normal')
    await waitFor(() => heard.troubles.some(trouble => /no Sentinel tells/.test(trouble)), 8_000, 'word of it')
    t.ok(link.isSubscriberReady, 'the other connection stays')
    for (const { process } of set.sentinels) process.start()
    await waitFor(() => link.isReady, 15_000, 'the way back')
  },
)

/** Runs a program that closes two emitters, one after a failed publish and one while it connects, and then has nothing to do. */
async function endsByItself(t: Test, url: string): Promise<string> {
  const file = join(await makeFolder(t), 'worker.mjs')
  const module = new URL('../../src/emitter.js', import.meta.url).href
  await writeFile(
    file,
    `import { createEmitter } from '${module}'
    for (const waits of [true, false]) {
      const emitter = createEmitter({ redisUrl: '${url}', connectTimeoutMs: 300 })
      const outcome = emitter.emit('1', { type: 'x' }).then(() => 'published', error => error.code)
      if (waits) await outcome
      await emitter.close()
      console.log(await outcome)
    }`,
  )
  const worker = new OwnedProcess({ command: process.execPath, args: ['--unhandled-rejections=strict', file] })
  t.teardown(() => worker.kill())
  worker.start()
  await waitFor(() => !worker.isRunning, 10_000, 'the worker to end by itself')
  return `${await worker.exited} ${worker.lines.join(' ')}`
}

t.test('an emitter that is closed while it connects lets its process end, wherever Redis is not', async t => {
  const nobody = `127.0.0.1:${await freePort()}`
  const silent = `127.0.0.1:${(await startStub(t, () => {})).port}`
  for (const url of [
    `redis://${nobody}`,
    `redis+sentinel://${nobody}/main`,
    `redis+cluster://${nobody}`,
    `redis://${silent}`,
    `rediss://${silent}`,
    `redis+sentinel://${silent}/main`,
    `redis+cluster://${silent}`,
  ]) {
    const outcome = await endsByItself(t, url)
    t.match(outcome, /^0 TIDINGS_BUS_UNAVAILABLE TIDINGS_(BUS_UNAVAILABLE|CLOSED)$/, url)
  }
})
