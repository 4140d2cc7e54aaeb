import t from 'tap'
import { MemoryTickets } from '../../../src/access/memory-tickets.js'
import { FIRST_USE_MS } from '../../../src/access/tickets.js'
import { ProcessClock } from '../../../src/clock.js'

const REQUEST = { userId: '42', follow: ['hub'], sessionMs: 1_000_000, maker: 'backend' }
const TICKET = { userId: '42', follow: ['hub'], issuedAt: 0, expiresAt: 1_000_000 }

t.test('a ticket must be used within 60 s; used, it lives until its session ends', async t => {
  let now = 0
  const tickets = new MemoryTickets(new ProcessClock(() => now))
  await tickets.make('unused', REQUEST)
  await tickets.make('used', REQUEST)
  now = FIRST_USE_MS - 1
  t.same(await tickets.find('unused'), TICKET)
  t.same(await tickets.take('used', 'c1', false), { outcome: 'taken', fence: 1 })
  now = FIRST_USE_MS
  t.equal(await tickets.find('unused'), null)
  t.same(await tickets.take('unused', 'c1', true), { outcome: 'gone' })
  now = TICKET.expiresAt - 1
  t.same(await tickets.take('used', 'c2', true), { outcome: 'taken', fence: 2 })
  now = TICKET.expiresAt
  t.same(await tickets.take('used', 'c3', true), { outcome: 'gone' })
})

t.test('looking at a ticket does not use it up', async t => {
  let now = 0
  const tickets = new MemoryTickets(new ProcessClock(() => now))
  await tickets.make('h', REQUEST)
  await tickets.find('h')
  now = FIRST_USE_MS
  t.equal(await tickets.find('h'), null)
})

t.test('a session shorter than 60 s ends a ticket that was never used', async t => {
  let now = 0
  const tickets = new MemoryTickets(new ProcessClock(() => now))
  await tickets.make('h', { ...REQUEST, sessionMs: 10 })
  now = 10
  t.equal(await tickets.find('h'), null)
})
