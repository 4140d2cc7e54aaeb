import t from 'tap'
import { MemoryBus } from '../../src/bus/memory.js'
import { draft, listenTo } from '../helpers/bus.js'
import { testBus } from './bus.js'

testBus(t, (_, options) => new MemoryBus(options))

t.test('an idempotency key is forgotten after 5 minutes, and not before', async t => {
  let now = 1_000_000
  const bus = new MemoryBus({ historySize: 10, historyTtlMs: 60_000, now: () => now })
  await listenTo(t, bus)
  const publish = async () => (await bus.publish([draft('room', 1, { key: 'k' })]))[0]!
  const first = await publish()
  now += 299_999
  t.same(await publish(), { ...first, duplicate: true })
  now += 1
  const second = await publish()
  t.notOk(second.duplicate)
  t.not(second.id, first.id)
  now += 299_999
  t.same(await publish(), { ...second, duplicate: true })
})

t.test('an event is kept for exactly historyTtlMs', async t => {
  let now = 1_000_000
  const bus = new MemoryBus({ historySize: 10, historyTtlMs: 1_000, now: () => now })
  await listenTo(t, bus)
  const start = bus.position
  await bus.publish([draft('room', 1)])
  now += 1_000
  t.same(bus.replay(start, ['room']).lost, [])
  now += 1
  t.same(bus.replay(start, ['room']).lost, ['room'])
})
