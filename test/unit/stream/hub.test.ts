import t from 'tap'
import type { Connection } from '../../../src/stream/connection.js'
import { Hub } from '../../../src/stream/hub.js'
import { Recovery } from '../../../src/stream/recovery.js'
import { createConnection } from '../../helpers/connection.js'
import { eventAt } from '../../helpers/scripted-bus.js'

let count = 0
function connect(hub: Hub, rooms: string[], more: { envelope?: boolean; queueLimitBytes?: number } = {}) {
  const { output, connection } = createConnection({ id: `${++count}`, rooms: [...rooms, '*'], ...more })
  hub.add(connection)
  connection.open(null, null, 25_000)
  output.text = ''
  return { output, connection }
}
const never = () => {
  throw new Error('a connection was called full')
}

t.test('an event reaches the followers of its room, * everyone, and nobody else', async t => {
  const hub = new Hub(never)
  const [a, b, ab] = [connect(hub, ['a']), connect(hub, ['b']), connect(hub, ['a', 'b'])]
  hub.deliver(eventAt(1, 'a'))
  hub.deliver(eventAt(2, 'b'))
  hub.deliver(eventAt(3, '*'))
  hub.deliver(eventAt(4, 'nobody'))
  t.equal(hub.pendingCount, 3)
  hub.flush()
  t.equal(hub.pendingCount, 0)
  t.same(
    [a, b, ab].map(({ output }) => output.data),
    [
      ['1', '3'],
      ['2', '3'],
      ['1', '2', '3'],
    ],
  )
  t.equal(hub.counts.delivered, 7)
})

t.test("a tick's frames leave in one write, and readers of the same frames share its buffer", async t => {
  const hub = new Hub(never)
  const written: Buffer[][] = []
  for (let i = 0; i < 3; i++) {
    const { output } = connect(hub, ['a'])
    const own: Buffer[] = []
    written.push(own)
    output.write = ((bytes: Buffer) => own.push(bytes) > 0) as typeof output.write // the hub writes only Buffers
  }
  hub.deliver(eventAt(1, 'a'))
  hub.deliver(eventAt(2, 'a'))
  hub.flush()
  t.same(
    written.map(each => each.length),
    [1, 1, 1],
  )
  t.equal(written[0]![0], written[1]![0])
  t.equal(written[0]![0], written[2]![0])
  t.equal(written[0]![0]!.toString(), 'id: k-1\nevent: tick\ndata: 1\n\nid: k-2\nevent: tick\ndata: 2\n\n')
})

t.test('a removed connection gets nothing, and its rooms are forgotten', async t => {
  const hub = new Hub(never)
  const { output, connection } = connect(hub, ['a', '__proto__'])
  t.same([...hub.followedRooms()], ['*', 'a', '__proto__'])
  hub.deliver(eventAt(1, '__proto__'))
  hub.flush()
  hub.remove(connection)
  hub.remove(connection)
  hub.deliver(eventAt(2, 'a'))
  hub.deliver(eventAt(3, '*'))
  hub.flush()
  t.same(output.data, ['1'])
  t.same([...hub.followedRooms()], [])
  t.equal(hub.followers('a'), undefined)
})

t.test('ephemeral events are skipped for a reader that is behind, and others are not', async t => {
  const hub = new Hub(never)
  const { output } = connect(hub, ['a'])
  const quick = connect(hub, ['a']).output
  output.stall()
  hub.deliver(eventAt(1, 'a', { data: JSON.stringify('x'.repeat(20_000)) }))
  hub.flush()
  hub.deliver(eventAt(2, 'a', { ephemeral: true }))
  hub.deliver(eventAt(3, 'a'))
  hub.flush()
  output.flow()
  t.same(
    output.data.map(data => data.slice(0, 1)),
    ['x', '3'],
  )
  t.same(
    quick.data.map(data => data.slice(0, 1)),
    ['x', '2', '3'],
  )
  t.equal(hub.counts.skipped, 1)
})

t.test('a reader that stops reading is called full past its limit, once, and keeps no more than that', async t => {
  const full: Connection[] = []
  const hub = new Hub(connection => {
    full.push(connection)
    hub.remove(connection)
    connection.close('slow', 100)
  })
  const { output, connection } = connect(hub, ['a'], { queueLimitBytes: 100_000 })
  const { output: other } = connect(hub, ['a'], { queueLimitBytes: 100_000 })
  output.stall()
  for (let seq = 1; seq <= 50; seq++) {
    hub.deliver(eventAt(seq, 'a', { data: JSON.stringify('x'.repeat(5_000)) }))
    if (seq % 7 === 0) hub.flush()
    t.ok(connection.queuedBytes <= 100_100, `${connection.queuedBytes} bytes`)
  }
  hub.flush()
  t.same(full, [connection])
  t.equal(other.data.length, 50)
  output.flow()
  await new Promise(resolve => output.once('close', resolve))
  t.equal(output.blocks.at(-1)!.event, 'stream.close')
  t.same(
    output.blocks
      .slice(0, -1)
      .filter(block => block.id !== undefined)
      .map(block => block.id),
    Array.from({ length: output.data.length }, (_, n) => `k-${n + 1}`),
    'what it got has no hole',
  )
})

t.test('one tick of more than the limit is written as it comes, and does not make a quick reader slow', async t => {
  const hub = new Hub(never)
  const { output } = connect(hub, ['a'], { queueLimitBytes: 100_000 })
  for (let seq = 1; seq <= 100; seq++) hub.deliver(eventAt(seq, 'a', { data: JSON.stringify('x'.repeat(5_000)) }))
  hub.flush()
  t.equal(output.data.length, 100)
})

t.test('a connection that resumes holds its events, and joins at the first that is new to it', async t => {
  const hub = new Hub(never)
  const { output, connection } = connect(hub, ['a'])
  const recovery = new Recovery({ epoch: 'k', seq: 0 }, 10_000)
  connection.recover(recovery)
  hub.deliver(eventAt(1, 'a'))
  recovery.take({ events: [], lost: [], upTo: { epoch: 'k', seq: 2 }, hasMore: false })
  hub.deliver(eventAt(2, 'a'))
  hub.deliver(eventAt(3, 'a'))
  hub.flush()
  t.same(output.data, ['3'])
  t.equal(connection.recovery, null)
})

t.test('both forms of an event go to who asked for which', async t => {
  const hub = new Hub(never)
  const plain = connect(hub, ['a']).output
  const wrapped = connect(hub, ['a'], { envelope: true }).output
  hub.deliver(eventAt(1, 'a'))
  hub.flush()
  t.same(plain.data, ['1'])
  t.same(wrapped.data, ['{"room":"a","type":"tick","at":1000,"data":1}'])
})
