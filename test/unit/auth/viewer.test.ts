import t from 'tap'
import { covers, createViewer, matches, mayFollow, mayManage, mayPublish } from '../../../src/auth/viewer.js'
import { isPattern } from '../../../src/room.js'

t.test('a trailing * is the only wildcard', async t => {
  t.ok(matches('session:*', 'session:abc'))
  t.ok(matches('*', '*'))
  t.notOk(matches('session:*', 'session'))
  t.notOk(matches('session:abc', 'session:abcd'))
  for (const pattern of ['*', 'a', 'a*', 'user:42', 'a/b.c@d-e_f:*']) t.ok(isPattern(pattern), pattern)
  for (const pattern of ['', 'a*b', '**', 'a b', 'a\n', 'é', 'a'.repeat(201)]) t.notOk(isPattern(pattern), pattern)
  t.ok(covers(['session:*'], 'session:a*'))
  t.ok(covers(['session:*'], 'session:*'))
  t.notOk(covers(['session:a*'], 'session:*'))
  t.notOk(covers(['session:abc'], 'session:abc*'))
  t.ok(covers(['*'], '*'))
})

t.test('a user follows their own room and everyone; a server only what its patterns hold', async t => {
  const user = createViewer({ userId: '42', follow: ['hub'] })
  t.same(
    ['user:42', '*', 'hub', 'user:7', 'hub2'].map(room => mayFollow(user, room)),
    [true, true, true, false, false],
  )
  t.same(
    ['user:42', 'hub'].map(room => mayPublish(user, room)),
    [false, false],
  )
  const server = createViewer({ userId: '42', kind: 'server', follow: ['hub'], publish: ['hub', 'user:7'] })
  t.same(
    ['user:42', '*', 'hub'].map(room => mayFollow(server, room)),
    [false, true, true],
  )
  t.same(
    ['user:7', 'user:42'].map(room => mayManage(server, room)),
    [true, false],
  )
  t.notOk(mayManage(createViewer({ userId: '7', publish: ['*'] }), 'user:7'), 'a user manages nobody')
  t.throws(() => createViewer({ userId: 'a b' }), { code: 'TIDINGS_INVALID_USER' })
})
