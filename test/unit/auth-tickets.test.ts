import t from 'tap'
import { Revocations } from '../../src/auth/revocations.js'
import { FIRST_USE_MS, hashTicket, MemoryTickets, newTicket } from '../../src/auth/tickets.js'

const TICKET = { userId: '42', follow: ['hub'], issuedAt: 0, expiresAt: 1_000_000 }

t.test('a ticket must be used within 60 s; used, it lives until its session ends', async t => {
  let now = 0
  const tickets = new MemoryTickets(() => now)
  await tickets.put('unused', TICKET)
  await tickets.put('used', TICKET)
  now = FIRST_USE_MS - 1
  t.same(await tickets.find('unused'), TICKET)
  t.same(await tickets.take('used', 'c1', false), { outcome: 'taken', turn: 1 })
  now = FIRST_USE_MS
  t.equal(await tickets.find('unused'), null)
  t.same(await tickets.take('unused', 'c1', true), { outcome: 'gone' })
  now = TICKET.expiresAt - 1
  t.same(await tickets.take('used', 'c2', true), { outcome: 'taken', turn: 2 })
  now = TICKET.expiresAt
  t.same(await tickets.take('used', 'c3', true), { outcome: 'gone' })
})

t.test('looking at a ticket does not use it up', async t => {
  let now = 0
  const tickets = new MemoryTickets(() => now)
  await tickets.put('h', TICKET)
  await tickets.find('h')
  now = FIRST_USE_MS
  t.equal(await tickets.find('h'), null)
})

t.test('one connection has it; only who returns takes it, and only who has it gives it back', async t => {
  const tickets = new MemoryTickets(() => 0)
  await tickets.put('h', TICKET)
  await tickets.take('h', 'c1', false)
  t.same(await tickets.take('h', 'c2', false), { outcome: 'held' })
  t.same(await tickets.take('h', 'c3', true), { outcome: 'taken', turn: 2 })
  await tickets.leave('h', 'c1')
  t.same(await tickets.take('h', 'c4', false), { outcome: 'held' })
  await tickets.leave('h', 'c3')
  t.same(await tickets.take('h', 'c5', false), { outcome: 'taken', turn: 3 })
  await tickets.revoke('h')
  t.same(await tickets.take('h', 'c6', true), { outcome: 'gone' })
  t.equal(await tickets.find('h'), null)
})

t.test('a session shorter than 60 s ends a ticket that was never used', async t => {
  let now = 0
  const tickets = new MemoryTickets(() => now)
  await tickets.put('h', { ...TICKET, expiresAt: 10 })
  now = 10
  t.equal(await tickets.find('h'), null)
})

t.test('tickets are never the same, and their hashes say nothing of them', async t => {
  const [one, other] = [newTicket(), newTicket()]
  t.not(one, other)
  t.match(one, /^tkt_[A-Za-z0-9_-]{43}$/)
  t.match(hashTicket(one), /^[A-Za-z0-9_-]{43}$/)
  t.notOk(hashTicket(one).includes(one.slice(4)))
})

t.test('a revocation covers what was made until then, and the later of two stands', async t => {
  const revocations = new Revocations()
  const covers = (issuedAt: number | null) => revocations.covers({ userId: '42', kind: 'user', issuedAt })
  t.notOk(covers(0))
  t.ok(revocations.note('42', 5_500))
  t.notOk(revocations.note('42', 5_000), 'older news')
  t.same([5_000, 5_500, 5_501, null].map(covers), [true, true, false, false])
  t.notOk(revocations.covers({ userId: '7', kind: 'user', issuedAt: 0 }))
  t.notOk(revocations.covers({ userId: '42', kind: 'server', issuedAt: 0 }))
  t.same(revocations.missingFrom(new Map([['42', 5_000]]), 6_000), new Map([['42', 5_500]]))
  t.same(revocations.missingFrom(new Map([['42', 5_500]]), 6_000), new Map())
  revocations.missingFrom(new Map(), 401 * 86_400_000)
  t.notOk(covers(0), 'no token lives that long')
})
