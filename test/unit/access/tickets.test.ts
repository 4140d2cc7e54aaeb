import t from 'tap'
import { hashTicket, isTicket, newTicket } from '../../../src/access/tickets.js'

t.test('tickets are never the same, and their hashes say nothing of them', async t => {
  const [one, other] = [newTicket(), newTicket()]
  t.not(one, other)
  t.match(one, /^tkt_[A-Za-z0-9_-]{43}$/)
  t.ok(isTicket(one))
  for (const text of ['', 'abc', one.slice(1), `${one}A`, `${one}\n`, one.replace('tkt_', 'TKT_')])
    t.notOk(isTicket(text))
  t.match(hashTicket(one), /^[A-Za-z0-9_-]{43}$/)
  t.notOk(hashTicket(one).includes(one.slice(4)))
})
