import t, { type Test } from 'tap'
import type { Bus, BusOptions } from '../../src/bus/bus.js'
import { RedisCounter } from '../../src/bus/redis-counter.js'
import { RedisReader } from '../../src/bus/redis-reader.js'
import { formatCursor } from '../../src/cursor.js'
import { RedisNames } from '../../src/redis/names.js'
import { draft, listenTo, payloads, publishOne, readAll } from '../helpers/bus.js'
import { waitFor } from '../helpers/deadline.js'
import { startFilter } from '../helpers/filter.js'
import { startRedis } from '../helpers/redis.js'
import { createRedisBus } from '../helpers/redis-bus.js'
import { testBus } from './bus.js'

const redis = await startRedis(t)
let prefixes = 0
const freshPrefix = () => `test${++prefixes}:`
const ROOMY = { historySize: 1_000, historyTtlMs: 60_000 }

const create = (options: BusOptions, prefix = freshPrefix()) => createRedisBus(redis.url, { ...options, prefix }).bus

/** The same bus without history in memory: it reads every resume from Redis. */
function createForgetful(options: BusOptions): Bus {
  const prefix = freshPrefix()
  const { bus, link } = createRedisBus(redis.url, { ...options, prefix })
  const names = new RedisNames(prefix, 0)
  const reader = new RedisReader(new RedisCounter(link, names), names, options.historyTtlMs)
  return Object.create(bus, {
    replay: {
      value: (...[after, rooms, limitBytes]: Parameters<Bus['replay']>) =>
        reader.replay(after, rooms, null, limitBytes),
    },
    connect: { value: bus.connect.bind(bus) },
    publish: { value: bus.publish.bind(bus) },
    health: { value: bus.health.bind(bus) },
    close: { value: bus.close.bind(bus) },
    position: { get: () => bus.position },
    counts: { get: () => bus.counts },
  })
}

t.test('the Redis bus', async t => testBus(t, (_, options) => create(options)))
t.test('the Redis bus, read from Redis alone', async t => testBus(t, (_, options) => createForgetful(options)))

async function openTwo(t: Test, prefixes: [string, string]) {
  const buses: [Bus, Bus] = [create(ROOMY, prefixes[0]), create(ROOMY, prefixes[1])]
  return { buses, heard: [await listenTo(t, buses[0]), await listenTo(t, buses[1])] as const }
}

t.test('two replicas hear everything of both in one order, and either resumes what the other published', async t => {
  const prefix = freshPrefix()
  const { buses, heard } = await openTwo(t, [prefix, prefix])
  const start = buses[1].position!
  const publisher = async (bus: Bus, name: string) => {
    for (let n = 0; n < 100; n++) await bus.publish([draft(`room:${n % 3}`, `${name}${n}`)])
  }
  await Promise.all([publisher(buses[0], 'a'), publisher(buses[1], 'b'), publisher(buses[0], 'c')])
  await waitFor(() => heard.every(({ events }) => events.length === 300), 10_000, 'all events at both')
  t.same(heard[0].events, heard[1].events)
  for (const bus of buses) {
    const { events, lost } = await readAll(bus, start, ['room:0', 'room:1', 'room:2'])
    t.same(lost, [])
    t.same(events, heard[0].events)
  }
  t.same([...heard[0].gaps, ...heard[1].gaps], [])
})

t.test('two buses with different prefixes never see each other', async t => {
  const { buses, heard } = await openTwo(t, [freshPrefix(), freshPrefix()])
  const [here, there] = buses
  const start = there.position!
  const first = await publishOne(here, draft('room', 'here', { key: 'k' }))
  const [answer] = await there.publish([draft('room', 'there', { key: 'k' })])
  t.notOk(answer!.duplicate, 'keys are apart too')
  await waitFor(() => heard.every(({ events }) => events.length === 1), 5_000, 'one event each')
  t.same(
    heard.map(({ events }) => payloads(events)),
    [['here'], ['there']],
  )
  t.same(payloads((await readAll(there, start, ['room'])).events), ['there'])
  t.same((await readAll(there, first, ['room'])).lost, ['room'], 'a position of the other bus is unknown here')
})

t.test('a bus that starts later resumes what was published before it was there', async t => {
  const prefix = freshPrefix()
  const early = create(ROOMY, prefix)
  await listenTo(t, early)
  const start = early.position!
  for (let n = 0; n < 10; n++) await early.publish([draft('room', n)])
  const late = create(ROOMY, prefix)
  const heard = await listenTo(t, late)
  const { events, lost } = await readAll(late, start, ['room', 'never'])
  t.same([payloads(events), lost], [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], []])
  t.same(heard.events, [], 'they are not new')
})

t.test('600 events of one room, and of 100 rooms, are read in pages without hole or repeat', async t => {
  const bus = createForgetful({ historySize: 2_000, historyTtlMs: 60_000 })
  await listenTo(t, bus)
  const start = bus.position!
  const rooms = Array.from({ length: 100 }, (_, n) => `room:${n}`)
  await bus.publish(Array.from({ length: 600 }, (_, n) => draft('one', n)))
  await bus.publish(Array.from({ length: 600 }, (_, n) => draft(rooms[(n * 7) % 100]!, n)))
  const all = Array.from({ length: 600 }, (_, n) => n)
  t.same(payloads((await readAll(bus, start, ['one'])).events), all)
  t.same(payloads((await readAll(bus, start, rooms)).events), all)
  const both = await readAll(bus, start, [...rooms, 'one', 'never'])
  t.equal(new Set(both.events.map(event => formatCursor(event.cursor))).size, 1_200)
  t.same(both.lost, [])
})

t.test('a room pushed out of the set of rooms by a hundred thousand others is not called whole', async t => {
  const bus = createForgetful(ROOMY)
  await listenTo(t, bus)
  const start = bus.position!
  const first = await publishOne(bus, draft('old', 1))
  await publishOne(bus, draft('busy', 2))
  // Enter the rooms directly: to publish an event to each would take half a minute.
  const rooms = (await redis.command('KEYS', `test${prefixes}:*:rooms`)) as string[]
  const fill = "for i = 1, 100000 do redis.call('ZADD', KEYS[1], 2, 'room:' .. i) end"
  await redis.command('EVAL', fill, '1', rooms[0]!)
  const last = await publishOne(bus, draft('busy', 3))
  t.same((await readAll(bus, start, ['old', 'never', 'busy'])).lost, ['old', 'never'])
  t.same((await readAll(bus, last, ['old', 'never'])).lost, [])
  t.same((await readAll(bus, first, ['old'])).lost, ['old'], 'it was forgotten together with newer ones')
  const again = await publishOne(bus, draft('old', 4))
  t.same((await readAll(bus, first, ['old'])).lost, ['old'])
  t.same((await readAll(bus, last, ['old'])).lost, [])
  t.same((await readAll(bus, again, ['old'])).lost, [])
})

t.test('nothing is read for a stream before the first position: what follows the read would reach nobody', async t => {
  const prefix = freshPrefix()
  const other = create(ROOMY, prefix)
  await listenTo(t, other)
  const first = await publishOne(other, draft('room:1', 'missed'))
  const { bus, link } = createRedisBus(redis.url, { ...ROOMY, prefix })
  t.teardown(() => bus.close())
  link.connect({ subscriber: false })
  await link.whenReady(5_000)
  await t.rejects(async () => bus.replay({ ...first, seq: 0 }, ['room:1']), { code: 'TIDINGS_BUS_UNAVAILABLE' })
})

t.test('an answer that is older than what has arrived since it was asked for is no reason to catch up', async t => {
  // Published messages pass at once; answers to commands come late.
  const port = await startFilter(t, redis.port, () => {
    let isLate = false
    return {
      fromClient: bytes => {
        isLate ||= bytes.includes('tidings-commands')
      },
      toClient: (bytes, pass) => void (isLate ? setTimeout(pass, 200, bytes) : pass(bytes)),
    }
  })
  const prefix = freshPrefix()
  const { bus } = createRedisBus(`redis://127.0.0.1:${port}`, { ...ROOMY, prefix })
  const heard = await listenTo(t, bus, ['room'])
  const start = bus.position!
  const other = create(ROOMY, prefix)
  await listenTo(t, other)
  let published = 0
  // Meanwhile the bus gets the answers to three of its beacons.
  for (const until = performance.now() + 3_500; performance.now() < until; published++) {
    await other.publish([draft('room', published)])
  }
  await waitFor(() => heard.events.length === published, 10_000, 'all events')
  t.equal(bus.counts.catchUps, 0)
  await bus.replay({ epoch: start.epoch, seq: start.seq + published - 1 }, ['room'])
  t.equal(bus.counts.historyReads, 0, 'and what is in memory stays there')
})

t.test('many rooms with large events are read once each, not again for every page', async t => {
  const bus = createForgetful({ historySize: 100, historyTtlMs: 60_000 })
  await listenTo(t, bus)
  const start = bus.position!
  const rooms = Array.from({ length: 40 }, (_, n) => `room:${n}`)
  const large = 'x'.repeat(60_000)
  for (let round = 0; round < 5; round++) await bus.publish(rooms.map(room => draft(room, large)))
  const bytesOut = async () =>
    Number(/total_net_output_bytes:(\d+)/.exec(String(await redis.command('INFO', 'stats')))?.[1])
  const calls = async () => {
    const stats = String(await redis.command('INFO', 'commandstats'))
    return Number(/cmdstat_xrange:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  }
  const before = { bytes: await bytesOut(), calls: await calls() }
  const { events, lost } = await readAll(bus, start, rooms)
  t.equal(events.length, 200)
  t.same(lost, [])
  const sent = (await bytesOut()) - before.bytes
  t.ok(sent < 1.2 * 200 * 60_000, `${sent} bytes were sent for 12,000,000`)
  const reads = (await calls()) - before.calls
  // Reading the beginning of every room for each of the 67 pages would take 2,680 reads.
  t.ok(reads < 700, `${reads} reads of a history`)
})

t.test('an entry that another writer put into a history is loss, and keeps nobody from the rest', async t => {
  const bus = createForgetful(ROOMY)
  await listenTo(t, bus)
  const start = bus.position!
  const first = await publishOne(bus, draft('room', 1))
  const [key] = (await redis.command('KEYS', `test${prefixes}:*:h:room`)) as string[]
  await redis.command('XADD', key!, `${first.seq}-5`, 'e', 'no event of ours')
  const second = await publishOne(bus, draft('room', 2))
  const { events, lost } = await readAll(bus, start, ['room'])
  t.same(payloads(events), [1, 2])
  t.same(lost, ['room'])
  t.same((await readAll(bus, second, ['room'])).lost, [])
})
