import t from 'tap'
import { findCredential } from '../../../src/auth/credentials.js'

const STREAM = { cookie: 'session', inUrl: true }
const OTHER = { cookie: 'session', inUrl: false }

t.test('a credential on purpose goes before the cookie, and one in the URL counts on the stream only', async t => {
  const all = { authorization: 'Bearer a', 'x-api-key': 'b', cookie: 'session=c' }
  const query = { ticket: 'd', token: 'e' }
  t.same(findCredential(all, query, STREAM), { kind: 'bearer', secret: 'a' })
  t.same(findCredential({ ...all, authorization: undefined }, query, STREAM), { kind: 'api-key', secret: 'b' })
  t.same(findCredential({ cookie: 'session=c' }, query, STREAM), { kind: 'ticket', secret: 'd' })
  t.same(findCredential({ cookie: 'session=c' }, { token: 'e' }, STREAM), { kind: 'url-token', secret: 'e' })
  t.same(findCredential({ cookie: 'session=c' }, query, OTHER), { kind: 'cookie', secret: 'c' })
  t.same(findCredential({}, query, OTHER), { kind: 'none' })
  t.same(findCredential({ cookie: 'session=c' }, {}, { cookie: undefined, inUrl: true }), { kind: 'none' })
})

t.test('a credential that cannot be one is refused, never passed over', async t => {
  for (const authorization of ['Basic a', 'Bearer', 'Bearer ', 'Bearer a b', 'a', '']) {
    t.throws(() => findCredential({ authorization, cookie: 'session=c' }, {}, STREAM), { code: 'TIDINGS_UNAUTHORIZED' })
  }
  for (const query of [{ ticket: ['a', 'b'] }, { ticket: '' }, { token: ['a'] }]) {
    t.throws(() => findCredential({}, query, STREAM), { code: 'TIDINGS_UNAUTHORIZED' })
  }
})

t.test('a cookie is found among others, by its whole name, in or without quotes', async t => {
  const secretIn = (cookie: string) => findCredential({ cookie }, {}, OTHER)
  t.match(secretIn('a=1; session=c; b=2'), { secret: 'c' })
  t.match(secretIn('a=1;session="c=="'), { secret: 'c==' })
  t.match(secretIn('session=first; session=second'), { secret: 'first' })
  for (const cookie of ['xsession=c', 'session', 'session=', 'Session=c', '=c', ';;'])
    t.match(secretIn(cookie), { kind: 'none' })
})
