import t from 'tap'
import { MemoryTickets } from '../../src/auth/tickets.js'
import { ProcessClock } from '../../src/clock.js'
import { testTickets } from './tickets.js'

testTickets(t, () => new MemoryTickets(new ProcessClock()))

const REQUEST = { userId: '42', follow: [], sessionMs: 3_600_000 }

t.test('unused tickets are bounded, in number and in what they hold: the oldest go first', async t => {
  const tickets = new MemoryTickets(new ProcessClock(() => 0))
  for (let n = 0; n < 10_002; n++) await tickets.make(`number ${n}`, REQUEST)
  t.equal(await tickets.find('number 1'), null)
  t.ok(await tickets.find('number 2'))
  const follow = Array.from({ length: 1_000 }, (_, n) => `${n}`.padEnd(200, '.'))
  for (let n = 0; n < 90; n++) await tickets.make(`length ${n}`, { ...REQUEST, follow })
  t.equal(await tickets.find('number 10001'), null, '90 x 200,000 characters are more than 16 Mi')
  t.equal(await tickets.find('length 0'), null)
  t.ok(await tickets.find('length 10'))
})

t.test('used tickets are bounded: past a hundred thousand the oldest that no stream has go', async t => {
  const tickets = new MemoryTickets(new ProcessClock(() => 0))
  for (let n = 0; n <= 100_000; n++) {
    await tickets.make(`${n}`, REQUEST)
    await tickets.take(`${n}`, 'c', false)
    if (n > 0) await tickets.leave(`${n}`, 'c')
  }
  t.ok(await tickets.find('0'), 'a stream has it')
  t.equal(await tickets.find('1'), null)
  t.ok(await tickets.find('100000'))
})

t.test('a maker of more tickets than are kept loses its own, and not those of others', async t => {
  const tickets = new MemoryTickets(new ProcessClock())
  await tickets.make('victim', { ...REQUEST, maker: 'root' })
  for (let n = 0; n < 10_100; n++) await tickets.make(`many ${n}`, { ...REQUEST, maker: 'narrow' })
  const follow = ['x'.repeat(1_048_576)]
  for (let n = 0; n < 20; n++) await tickets.make(`long ${n}`, { ...REQUEST, follow, maker: 'narrow' })
  t.ok(await tickets.find('victim'))
  t.equal(await tickets.find('many 0'), null)
  t.ok(await tickets.find('long 19'))
})

t.test('used tickets are bounded in what they hold, too', async t => {
  const tickets = new MemoryTickets(new ProcessClock(() => 0))
  const follow = Array.from({ length: 1_000 }, (_, n) => `${n}`.padEnd(200, '.'))
  for (let n = 0; n < 340; n++) {
    await tickets.make(`${n}`, { ...REQUEST, follow })
    await tickets.take(`${n}`, 'c', false)
    if (n > 0) await tickets.leave(`${n}`, 'c')
  }
  t.ok(await tickets.find('0'), 'a stream has it')
  t.equal(await tickets.find('1'), null, '340 x 200,000 characters are more than 64 Mi')
  t.ok(await tickets.find('339'))
})
