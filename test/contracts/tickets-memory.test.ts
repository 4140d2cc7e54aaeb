import t from 'tap'
import { MemoryTickets } from '../../src/access/memory-tickets.js'
import { ProcessClock } from '../../src/clock.js'
import { testTickets } from './tickets.js'

testTickets(t, () => new MemoryTickets(new ProcessClock()))

const REQUEST = { userId: '42', follow: [], sessionMs: 3_600_000, maker: 'backend' }

t.test('unused tickets are bounded, in number and in what they hold: the oldest go first', async t => {
  const tickets = new MemoryTickets(new ProcessClock(() => 0))
  for (let n = 0; n < 10_002; n++) await tickets.make(`number ${n}`, REQUEST)
  t.equal(await tickets.find('number 1'), null)
  t.ok(await tickets.find('number 1002'))
  const follow = Array.from({ length: 1_000 }, (_, n) => `${n}`.padEnd(200, '.'))
  for (let n = 0; n < 90; n++) await tickets.make(`length ${n}`, { ...REQUEST, follow })
  t.equal(await tickets.find('number 10001'), null, '90 x 200,000 characters are more than 16 MiB')
  t.equal(await tickets.find('length 0'), null)
  t.ok(await tickets.find('length 60'))
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

t.test("a maker of large tickets, used or not, pushes out its own and nobody else's", async t => {
  const tickets = new MemoryTickets(new ProcessClock(() => 0))
  for (let n = 0; n < 1_000; n++) await tickets.make(`honest ${n}`, REQUEST)
  for (let n = 0; n < 500; n++) {
    await tickets.take(`honest ${n}`, 'c', false)
    await tickets.leave(`honest ${n}`, 'c')
  }
  // A short pattern takes more memory than its characters.
  const follow = Array.from({ length: 1_000 }, (_, n) => `m:${n}`)
  for (let n = 0; n < 40_000; n++) {
    await tickets.make(`large ${n}`, { ...REQUEST, follow: [...follow], maker: 'mallory' })
    if (n % 2 === 0) await tickets.take(`large ${n}`, 'c', false)
    await tickets.leave(`large ${n}`, 'c')
  }
  for (let n = 0; n < 1_000; n++) t.ok(await tickets.find(`honest ${n}`), `number ${n}`)
  t.equal(await tickets.find('large 0'), null)
  t.equal(await tickets.find('large 1'), null)
  t.ok(await tickets.find('large 39999'))
})
