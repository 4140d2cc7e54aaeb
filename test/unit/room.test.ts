import t from 'tap'
import { isRoom, isUserId, userRoom } from '../../src/room.js'

t.test('a room has 1-200 of the allowed characters; user: alone is none', async t => {
  for (const room of ['a', '*', 'user:42', 'session:abc', 'a/b.c_d-e@f:g', '__proto__', 'x'.repeat(200)])
    t.ok(isRoom(room), room)
  for (const room of ['', 'user:', '**', 'a*', 'a b', 'a,b', 'é', 'a\n', '\na', 'x'.repeat(201), '{a}', 'a\u0000'])
    t.notOk(isRoom(room), room)
})

t.test("a user's own room fits a room's length", async t => {
  t.equal(userRoom('x'.repeat(195), 'the test'), `user:${'x'.repeat(195)}`)
  t.ok(isRoom(userRoom('x'.repeat(195), 'the test')))
  for (const id of ['', '*', 'a b', 'x'.repeat(196), 'a\n']) {
    t.notOk(isUserId(id))
    t.throws(() => userRoom(id, 'the path'), {
      code: 'TIDINGS_INVALID_USER',
      message: /in the path must be 1-195 characters/,
    })
  }
})
