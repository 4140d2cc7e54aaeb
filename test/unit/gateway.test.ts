import t from 'tap'
import { at, REQUEST, settle, startBareGateway } from '../helpers/bare-gateway.js'
import { waitFor } from '../helpers/deadline.js'
import { Output } from '../helpers/output.js'
import { eventAt, ScriptedBus } from '../helpers/scripted-bus.js'

t.test('a reader that left before it was attached leaves nothing behind', async t => {
  const { gateway, bus } = await startBareGateway(t)
  for (const after of [null, at(0)]) {
    const output = new Output()
    output.destroy()
    await settle()
    const connection = gateway.attach({ ...REQUEST, after, output })
    await settle()
    t.ok(connection.isEnded)
  }
  t.equal(gateway.connections.size, 0)
  t.equal(bus.asked.length, 0, 'no history is read for it')
  t.equal(gateway.counts.opened, gateway.counts.closed.gone, 'what was counted as opened was counted as closed')
})

t.test('a stream opened while the bus was never reached gets stream.open before any event', async t => {
  const bus = new ScriptedBus()
  bus.position = null
  const { open } = await startBareGateway(t, {}, bus)
  const { output } = open()
  bus.deliver(eventAt(3), eventAt(4))
  await settle()
  bus.subscriber.onReady()
  bus.deliver(eventAt(5))
  await settle()
  t.match(output.events[0], /^stream\.open .*"resumed":null/)
  t.equal(output.blocks[0]!.id, 'k-4')
  t.same(output.data, ['5'])
})

t.test('the limit per user counts connections of that user, not of others who follow their room', async t => {
  const { open } = await startBareGateway(t, { maxConnectionsPerUser: 2 })
  for (let i = 0; i < 3; i++) open({ userId: `admin${i}`, rooms: ['user:42'] })
  const own = [open({ userId: '42' }), open({ userId: '42' })]
  for (const { connection } of own) t.ok(connection.isOpen)
  const third = open({ userId: '42' })
  await settle()
  t.match(third.output.blocks, [{ event: 'stream.close', data: /"overloaded"/, retry: Number }])
})

t.test('a heartbeat carries the position, and only a comment while a resume is under way', async t => {
  const { bus, open } = await startBareGateway(t, { heartbeatMs: 40 })
  bus.position = at(10)
  const live = open().output
  const resuming = open({ after: at(5) }).output
  await waitFor(() => live.text.includes('id: k-10\n\n') && resuming.text.includes(':\n\n'), 5_000, 'two heartbeats')
  t.notMatch(resuming.text, /id:/)
  // Read further than this replica has got: its own position would take the reader back.
  bus.asked[0]!.answer({ events: [eventAt(15)], upTo: at(15) })
  await settle()
  const before = resuming.text.length
  await waitFor(() => resuming.text.slice(before).includes(':\n\n'), 5_000, 'a comment')
  t.notMatch(resuming.text, /id: k-10\n/)
  bus.deliver(eventAt(14), eventAt(15), eventAt(16, 'elsewhere'))
  await waitFor(() => resuming.text.includes('id: k-16\n\n'), 5_000, 'a heartbeat of the new position')
  t.same(resuming.data, ['15'])
})

t.test('an event that cannot be put in a frame ends nothing, and its room is told of a gap', async t => {
  const { bus, open } = await startBareGateway(t)
  const { output, connection } = open()
  const other = open({ rooms: [] }).output
  bus.deliver(eventAt(1), eventAt(2, 'room', { type: 'a\nid: forged' }), eventAt(3))
  await settle()
  t.ok(connection.isOpen)
  t.same(output.data, ['1', '3'])
  t.match(output.events, [/^stream\.open/, /^tick 1/, 'stream.gap {"rooms":["room"],"reason":"history"}', /^tick 3/])
  t.equal(other.events.length, 1)
  bus.position = at(10)
  const resumed = open({ after: at(0) }).output
  bus.asked[0]!.answer({ events: [eventAt(2, 'room', { data: '{\n}' }), eventAt(4)] })
  await settle()
  t.match(resumed.events, [/^stream\.open .*"resumed":false/, 'tick 4'])
})

t.test('close ends every stream, cuts those that do not take their last bytes, and may be called twice', async t => {
  const { gateway, open } = await startBareGateway(t)
  const taking = open().output
  const stuck = open({ userId: '2' }).output
  stuck.stall()
  await Promise.all([gateway.close(50), gateway.close(50)])
  await gateway.close()
  t.match(taking.blocks.at(-1), { event: 'stream.close', data: /"reason":"shutdown","reconnect":true/, retry: Number })
  t.ok(stuck.destroyed)
  t.equal(gateway.connections.size, 0)
  const late = open()
  await settle()
  t.match(late.output.blocks, [{ event: 'stream.close', data: /"shutdown"/ }])
})

t.test('a drain is over as soon as no stream is left, however long its window', async t => {
  const { gateway, open } = await startBareGateway(t)
  const readers = Array.from({ length: 3 }, () => open())
  const drained = gateway.drain(600_000)
  for (const { output } of readers) output.destroy()
  await waitFor(() => gateway.connections.size === 0, 5_000, 'the readers to be gone')
  await drained
  t.equal(gateway.connections.size, 0)
})
