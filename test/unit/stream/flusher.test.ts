import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { Flusher } from '../../../src/stream/flusher.js'
import { Hub } from '../../../src/stream/hub.js'
import { createConnection } from '../../helpers/connection.js'
import type { Output } from '../../helpers/output.js'
import { eventAt } from '../../helpers/scripted-bus.js'

const LARGE = 256

const turn = () => new Promise<void>(resolve => setImmediate(resolve))

/** A hub with one reader of `small` and many of `large`. Each reading of its clock moves the clock by `workMs`. */
function setUp(t: Test) {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const clock = { ms: 1_000, workMs: 0 }
  const hub = new Hub(() => {})
  const connect = (room: string): Output => {
    const { output, connection } = createConnection({ rooms: [room] })
    hub.add(connection)
    connection.open(null, null, 25_000)
    return output
  }
  const small = connect('small')
  const large = Array.from({ length: LARGE }, () => connect('large'))
  const now = () => {
    clock.ms += clock.workMs
    return clock.ms
  }
  const flusher = new Flusher(hub, now)
  let seq = 0
  const publish = (room: string) => {
    hub.deliver(eventAt(++seq, room))
    flusher.schedule()
  }
  /** Runs a large flush that takes this long; after it the clock stands still. */
  const flushLarge = async (ms: number) => {
    clock.workMs = ms
    publish('large')
    await turn()
    clock.workMs = 0
  }
  return { clock, publish, flushLarge, connect, small, large }
}

t.test('what comes in one turn leaves at its end, in one piece', async t => {
  const { publish, small } = setUp(t)
  publish('small')
  publish('small')
  t.same(small.data, [])
  await turn()
  t.same(small.data, ['1', '2'])
})

t.test('a large flush leaves as much time as the one before it took, and takes along what came meanwhile', async t => {
  const { publish, flushLarge, large } = setUp(t)
  await flushLarge(30)
  t.same(large[0]?.data, ['1'])
  publish('large')
  await turn()
  publish('large')
  await turn()
  t.same(large[0]?.data, ['1'], 'not yet')
  mock.timers.tick(30)
  t.same(large[0]?.data, ['1', '2', '3'])
  t.same(large.at(-1)?.data, ['1', '2', '3'])
})

t.test('a small one does not wait for the pause after a large one, and does not end it', async t => {
  const { publish, flushLarge, small, large } = setUp(t)
  await flushLarge(30)
  publish('small')
  await turn()
  t.same(small.data, ['2'])
  publish('large')
  await turn()
  t.same(large[0]?.data, ['1'])
  mock.timers.tick(30)
  t.same(large[0]?.data, ['1', '3'])
})

t.test('when nothing came during the pause, the next event leaves at once', async t => {
  const { clock, publish, flushLarge, large } = setUp(t)
  await flushLarge(30)
  clock.ms += 60
  publish('large')
  await turn()
  t.same(large[0]?.data, ['1', '2'])
})

t.test('however long a flush took, the pause after it ends', async t => {
  const { publish, flushLarge, large } = setUp(t)
  await flushLarge(60_000)
  publish('large')
  mock.timers.tick(100)
  t.same(large[0]?.data, ['1', '2'])
})

t.test(
  'a flush that takes long goes on in later turns, and every reader gets everything once and in order',
  async t => {
    const { clock, publish, large, connect } = setUp(t)
    const more = Array.from({ length: 3 * LARGE }, () => connect('large'))
    clock.workMs = 30
    publish('large')
    await turn()
    t.same(large[0]?.data, ['1'])
    t.same(more.at(-1)?.data, [], 'not in this turn')
    publish('large')
    for (let n = 0; n < 5; n++) await turn()
    clock.workMs = 0
    mock.timers.tick(100)
    await turn()
    for (const output of [...large, ...more]) t.same(output.data, ['1', '2'])
  },
)
