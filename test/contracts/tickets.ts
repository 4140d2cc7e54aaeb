import type { Test } from 'tap'
import { FIRST_USE_MS, hashTicket, newTicket, type TicketRequest, type TicketStore } from '../../src/access/tickets.js'

/** Makes a new store for one test. */
export type CreateTickets = (t: Test) => TicketStore | Promise<TicketStore>

const REQUEST: TicketRequest = { userId: '42', follow: ['session:abc', 'hub*'], sessionMs: 3_600_000, maker: 'backend' }

/** The contract of every store of tickets. */
export function testTickets(t: Test, create: CreateTickets): void {
  const fresh = () => hashTicket(newTicket())

  t.test('a ticket is what was asked for, made now, for a session as long as was asked', async t => {
    const tickets = await create(t)
    const hash = fresh()
    const before = Date.now()
    const made = await tickets.make(hash, REQUEST)
    t.ok(Math.abs(made.issuedAt - before) < 5_000, 'now')
    t.equal(made.expiresAt, made.issuedAt + 3_600_000)
    t.equal(made.useBefore, made.issuedAt + FIRST_USE_MS)
    const { issuedAt, expiresAt } = made
    t.same(await tickets.find(hash), { userId: '42', follow: ['session:abc', 'hub*'], issuedAt, expiresAt })
    t.equal(await tickets.find(fresh()), null)
  })

  t.test('a session shorter than the time to use it ends an unused ticket', async t => {
    const tickets = await create(t)
    const made = await tickets.make(fresh(), { ...REQUEST, sessionMs: 5_000 })
    t.equal(made.useBefore, made.expiresAt)
  })

  t.test('one connection has it; only who returns takes it, and only who has it gives it back', async t => {
    const tickets = await create(t)
    const hash = fresh()
    await tickets.make(hash, REQUEST)
    t.same(await tickets.take(hash, 'c1', false), { outcome: 'taken', fence: 1 })
    t.same(await tickets.take(hash, 'c2', false), { outcome: 'held' })
    t.same(await tickets.take(hash, 'c3', true), { outcome: 'taken', fence: 2 })
    await tickets.leave(hash, 'c1')
    t.same(await tickets.take(hash, 'c4', false), { outcome: 'held' })
    await tickets.leave(hash, 'c3')
    t.same(await tickets.take(hash, 'c5', false), { outcome: 'taken', fence: 3 })
    t.same(await tickets.take(fresh(), 'c1', true), { outcome: 'gone' })
  })

  t.test(
    'a revoked ticket is gone for everybody, used or not, and stays revoked for the stream that has it',
    async t => {
      const tickets = await create(t)
      const [used, unused] = [fresh(), fresh()]
      await tickets.make(used, REQUEST)
      await tickets.make(unused, REQUEST)
      await tickets.take(used, 'c1', false)
      const ticket = (await tickets.find(used))!
      for (const hash of [used, unused]) {
        t.equal(await tickets.revoke(hash), true, 'it was good until then')
        t.equal(await tickets.revoke(hash), false)
        t.equal(await tickets.find(hash), null)
        t.same(await tickets.take(hash, 'c2', true), { outcome: 'gone' })
      }
      t.equal(await tickets.keep(used, ticket, 'c1', 1), 'revoked')
      t.equal(await tickets.find(used), null, 'a stream that has it does not bring it back')
    },
  )

  t.test('a stream keeps a ticket that the store forgot, unless a later turn has it', async t => {
    const tickets = await create(t)
    const hash = fresh()
    const ticket = { userId: '42', follow: ['hub'], issuedAt: Date.now() - 1_000, expiresAt: Date.now() + 60_000 }
    t.equal(await tickets.keep(hash, ticket, 'c2', 2), 'yours')
    t.same(await tickets.find(hash), ticket)
    t.equal(await tickets.keep(hash, ticket, 'c1', 1), 'replaced')
    t.equal(await tickets.keep(hash, ticket, 'c2', 2), 'yours')
    t.same(await tickets.take(hash, 'c3', false), { outcome: 'held' })
    t.same(await tickets.take(hash, 'c3', true), { outcome: 'taken', fence: 3 })
    t.equal(await tickets.keep(hash, ticket, 'c5', 5), 'regained', 'the stream of an earlier turn may be open')
    t.equal(await tickets.keep(hash, ticket, 'c5', 5), 'yours')
  })

  t.test('a ticket revoked before the store heard of it is not brought back by the stream that has it', async t => {
    const tickets = await create(t)
    const hash = fresh()
    const ticket = { userId: '42', follow: [], issuedAt: Date.now() - 1_000, expiresAt: Date.now() + 60_000 }
    t.equal(await tickets.revoke(hash), false, 'it was not known')
    t.equal(await tickets.keep(hash, ticket, 'c1', 1), 'revoked')
    t.equal(await tickets.find(hash), null)
  })

  t.test('of tickets that were revoked unknown, the newest ten thousand are remembered, and no more', async t => {
    const tickets = await create(t)
    const ticket = { userId: '42', follow: [], issuedAt: Date.now() - 1_000, expiresAt: Date.now() + 60_000 }
    const hashes = Array.from({ length: 10_002 }, (_, n) => hashTicket(`made up ${n}`))
    // Revoke the first one in an earlier millisecond than the others.
    await tickets.revoke(hashes[0]!)
    for (const start = Date.now(); Date.now() <= start + 1; );
    for (let i = 1; i < hashes.length; i += 500) {
      await Promise.all(hashes.slice(i, i + 500).map(hash => tickets.revoke(hash)))
    }
    t.equal(await tickets.keep(hashes.at(-1)!, ticket, 'c1', 1), 'revoked')
    t.equal(await tickets.keep(hashes[0]!, ticket, 'c1', 1), 'yours')
  })
}
