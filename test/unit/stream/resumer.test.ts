import { Writable } from 'node:stream'
import t from 'tap'
import { MemoryBus } from '../../../src/bus/memory.js'
import type { Cursor } from '../../../src/cursor.js'
import { BusUnavailable } from '../../../src/failures.js'
import { at, REQUEST, settle, startBareGateway } from '../../helpers/bare-gateway.js'
import { waitFor } from '../../helpers/deadline.js'
import { collectGarbage } from '../../helpers/garbage.js'
import { eventAt, ScriptedBus } from '../../helpers/scripted-bus.js'

t.test('a resume sends what was missed, then what was held, each once and in order', async t => {
  const { bus, open } = await startBareGateway(t)
  bus.position = at(10)
  const { output } = open({ after: at(5) })
  bus.deliver(eventAt(11))
  bus.asked[0]!.answer({ events: [eventAt(7), eventAt(11)], upTo: at(11) })
  bus.deliver(eventAt(12))
  await settle()
  bus.deliver(eventAt(13), eventAt(14, 'elsewhere'))
  await settle()
  t.same(output.data, ['7', '11', '12', '13'])
  t.match(output.blocks[0], { event: 'stream.open', data: /"resumed":true/ })
  t.notOk('id' in output.blocks[0]!, 'stream.open does not move the position past what follows')
})

t.test('a gap while a resume waits for the bus does not make the resume read twice', async t => {
  const { bus, open } = await startBareGateway(t)
  bus.position = at(10)
  const { output } = open({ after: at(5) })
  bus.asked[0]!.fail(new BusUnavailable('away'))
  await settle()
  bus.subscriber.onGap(null, 'history')
  bus.subscriber.onReady()
  await settle()
  for (const asked of bus.asked.slice(1)) asked.answer({ events: [eventAt(7), eventAt(12)], upTo: at(12) })
  await settle()
  t.same(output.data, ['7', '12'])
})

t.test('events of an epoch that ended are not mixed among those of the next', async t => {
  const { bus, open } = await startBareGateway(t)
  bus.position = at(10)
  const { output } = open({ after: at(5) })
  // The replica still hears the old primary while the history already comes from the new one.
  bus.deliver(eventAt(11))
  const fromNew = [7, 11].map(seq => eventAt(seq, 'room', { cursor: at(seq, 'new') }))
  bus.asked[0]!.answer({ events: fromNew, lost: ['room', '*', 'user:1'], upTo: at(11, 'new') })
  await settle()
  bus.deliver(eventAt(12))
  bus.position = at(11, 'new')
  bus.subscriber.onEvents(fromNew)
  bus.subscriber.onGap(null, 'failover')
  await settle()
  for (const asked of bus.asked.slice(1)) asked.answer({ upTo: at(11, 'new') })
  await settle()
  bus.deliver(eventAt(12, 'room', { cursor: at(12, 'new'), data: '"new 12"' }))
  await settle()
  t.same(output.data, ['7', '11', 'new 12'])
})

t.test('a backlog of many small events is sent without calling its reader slow', async t => {
  const { bus, open } = await startBareGateway(t, { queueLimitBytes: 262_144 })
  bus.position = at(20_000)
  const { output, connection } = open({ after: at(0) })
  const all = Array.from({ length: 20_000 }, (_, n) => eventAt(n + 1))
  while (!connection.isEnded && output.data.length < all.length) {
    const asked = bus.asked.shift()
    if (asked !== undefined) {
      // Pages as a bus makes them: each event counts 108 bytes and its payload, at most 5.
      const end = Math.min(all.length, asked.after.seq + Math.floor(asked.limitBytes! / 113))
      asked.answer({ events: all.slice(asked.after.seq, end), upTo: at(end), hasMore: end < all.length })
    }
    output.stall()
    await settle()
    output.flow()
    await settle()
  }
  t.notOk(connection.isEnded, connection.endReason)
  t.same(
    output.data,
    all.map(event => event.data),
  )
})

t.test('what a resume was owed does not keep its connection in memory after its end', async t => {
  const { bus, open } = await startBareGateway(t)
  bus.position = at(10)
  const left = async () => {
    const { output, connection } = open({ after: at(5) })
    bus.asked.shift()!.answer({ events: [eventAt(7), eventAt(9)] })
    await settle()
    output.destroy()
    await settle()
    return new WeakRef(connection)
  }
  const references: WeakRef<object>[] = []
  for (let i = 0; i < 20; i++) references.push(await left())
  const isGone = async () => {
    collectGarbage()
    await settle()
    return references.filter(reference => reference.deref() !== undefined).length <= 1
  }
  await t.resolves(waitFor(isGone, 5_000, 'the connections to be collected'))
})

t.test(
  'a resume that is ahead of its replica gets no event at or before its position when the replica catches up',
  async t => {
    const { bus, open } = await startBareGateway(t)
    bus.position = at(10)
    const { output } = open({ after: at(5) })
    bus.asked[0]!.answer({ lost: ['room', '*', 'user:1'], upTo: at(2, 'new') })
    await settle()
    t.match(output.blocks[0], { event: 'stream.open', id: 'new-2', data: /"resumed":false/ })
    // Now the replica finds out, and its memory can answer at once.
    bus.position = at(2, 'new')
    bus.replay = () => ({ events: [], lost: [], upTo: at(2, 'new'), hasMore: false }) as never
    bus.subscriber.onGap(null, 'reset')
    bus.subscriber.onEvents([1, 2].map(seq => eventAt(seq, 'room', { cursor: at(seq, 'new') })))
    await settle()
    bus.deliver(eventAt(3, 'room', { cursor: at(3, 'new') }))
    await settle()
    t.same(output.data, ['3'])
  },
)

t.test(
  'a resume on a replica that was never in touch reads when it is: what is live then begins behind what was read',
  async t => {
    const bus = new ScriptedBus()
    bus.position = null
    const { open } = await startBareGateway(t, {}, bus)
    const { output } = open({ after: at(5) })
    // If a page were answered now it would end at 10, and nobody would deliver 11 to 20.
    for (const asked of bus.asked) asked.answer({ events: [eventAt(7)], upTo: at(10) })
    await settle()
    bus.position = at(20)
    bus.subscriber.onReady()
    await settle()
    for (const asked of bus.asked) asked.answer({ events: [eventAt(7), eventAt(15)], upTo: at(20) })
    await settle()
    bus.deliver(eventAt(21))
    await settle()
    t.same(output.data, ['7', '15', '21'])
  },
)

/** A bus with an endless history in memory: its pages are as large as asked for. */
class EndlessBus extends ScriptedBus {
  pages = 0

  override replay(after: Cursor, _: readonly string[], limitBytes = 0): never {
    this.pages++
    const events = [eventAt(after.seq + 1, 'room', { data: `"${'x'.repeat(limitBytes)}"` })]
    // Safe: a bus may answer at once.
    return { events, lost: [], upTo: at(after.seq + 1), hasMore: true } as never
  }
}

t.test('readers that wait for the rest of a long backlog hold none of it in the heap', async t => {
  const bus = new EndlessBus()
  bus.position = at(1_000)
  const { open } = await startBareGateway(t, {}, bus)
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let n = 0; n < 200; n++) open({ after: at(0), isStalled: true })
  await settle()
  collectGarbage()
  const grown = process.memoryUsage().heapUsed - before
  t.ok(bus.pages >= 200 && bus.pages <= 400, `${bus.pages} pages were read`)
  t.ok(grown < 200 * 20_000, `${Math.round(grown / 200)} bytes a reader, where a page has 131,072`)
})

t.test('readers that do not take their backlog hold no live events meanwhile, and get all of them later', async t => {
  const { bus, open } = await startBareGateway(t)
  bus.position = at(10)
  const readers = Array.from({ length: 50 }, (_, n) => open({ after: at(0), rooms: [`room:${n}`], isStalled: true }))
  // An output that stalls takes the first write and leaves the rest waiting.
  for (const [n, asked] of bus.asked.entries()) {
    asked.answer({ events: [eventAt(1, `room:${n}`, { data: 'x'.repeat(100_000) })], upTo: at(1), hasMore: true })
  }
  await settle()
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let n = 0; n < 300; n++) {
    bus.deliver(eventAt(11 + n, `room:${n % 50}`, { data: JSON.stringify(`${n}`.padEnd(40_000)) }))
  }
  collectGarbage()
  const grown = process.memoryUsage().heapUsed - before
  t.ok(grown < 50 * 20_000, `${Math.round(grown / 50)} bytes a reader, of 240,000 that were published to each`)
  t.equal(bus.asked.length, 50)
  const [{ output }] = readers as [(typeof readers)[0]]
  output.flow()
  await settle()
  const missed = Array.from({ length: 6 }, (_, n) => eventAt(11 + n * 50, 'room:0', { data: `${n * 50}` }))
  bus.asked[50]!.answer({ events: missed, upTo: at(310) })
  await settle()
  bus.deliver(eventAt(311, 'room:0'))
  await settle()
  t.same(output.data.slice(1), ['0', '50', '100', '150', '200', '250', '311'])
})

for (const [queueLimitBytes, maxEventBytes, highWaterMark] of [
  [16_384, 4_096, 16_384],
  [81_920, 16_384, 65_536],
] as const) {
  t.test(`a reader that takes its backlog slowly gets all of it with a queue of ${queueLimitBytes} bytes`, async t => {
    const bus = new MemoryBus({ historySize: 1_000, historyTtlMs: 3_600_000 })
    const { gateway } = await startBareGateway(t, { queueLimitBytes, maxEventBytes }, bus)
    const after = bus.position
    const data = 'x'.repeat(maxEventBytes - 2)
    for (let n = 0; n < 50; n++) await gateway.publish('room', { type: 'bulk', data })
    let text = ''
    // Node's own high-water mark differs between its versions and between kinds of streams.
    const output = new Writable({
      highWaterMark,
      write(bytes: Buffer, _, done) {
        text += bytes.toString()
        setImmediate(() => setImmediate(done))
      },
    })
    const connection = gateway.attach({ ...REQUEST, after, output })
    await waitFor(() => text.split('event: bulk').length > 50 || connection.isEnded, 10_000, 'the whole backlog')
    t.notOk(connection.isEnded, connection.endReason)
    t.equal(text.split('event: bulk').length - 1, 50)
  })
}

t.test('gaps, however many, send a reader that does not take its backlog no more of it', async t => {
  const bus = new EndlessBus()
  bus.position = at(1_000)
  const { gateway, open } = await startBareGateway(t, {}, bus)
  const { output, connection } = open({ after: at(0), isStalled: true })
  await settle()
  const { pages } = bus
  for (let n = 0; n < 20; n++) {
    bus.subscriber.onGap(['room'], 'history')
    await settle()
  }
  t.equal(bus.pages, pages)
  t.ok(output.listenerCount('drain') < 5, 'and nothing more waits for it')
  t.ok(gateway.connections.has(connection))
})

t.test('long backlogs of many readers leave the event loop to others between a few pages', async t => {
  const bus = new EndlessBus()
  bus.position = at(1_000)
  const { open } = await startBareGateway(t, {}, bus)
  for (let n = 0; n < 50; n++) open({ after: at(0) })
  for (let turn = 0; turn < 20; turn++) {
    const { pages } = bus
    await new Promise(resolve => setImmediate(resolve))
    t.ok(bus.pages - pages <= 8, `${bus.pages - pages} pages in a turn`)
  }
  t.ok(bus.pages > 100, 'and all go on')
})

t.test('when the bus is back, those who waited are served a few in a turn', async t => {
  const bus = new EndlessBus()
  bus.position = null
  const { open } = await startBareGateway(t, {}, bus)
  for (let n = 0; n < 100; n++) open({ after: at(0) })
  await settle()
  t.equal(bus.pages, 0)
  bus.position = at(1_000)
  bus.subscriber.onReady()
  t.equal(bus.pages, 0)
  await new Promise(resolve => setImmediate(resolve))
  await new Promise(resolve => setImmediate(resolve))
  t.ok(bus.pages > 0 && bus.pages <= 24, `${bus.pages} pages in two turns`)
})
