import t from 'tap'
import { createDraft, toJsonText } from '../../src/draft.js'
import { shown } from '../../src/errors.js'
import { createPublisher } from '../../src/publisher.js'
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

t.test('data may have exactly the allowed bytes', async t => {
  const make = (data: string, max: number) => createDraft('a', { type: 't', data }, max, 'the test')
  t.equal(make('"12345678"', 10).data, '"12345678"')
  t.throws(() => make('"123456789"', 10), { code: 'TIDINGS_EVENT_TOO_LARGE', statusCode: 413 })
  t.equal(make('"漢漢"', 8).data, '"漢漢"')
  t.throws(() => make('"漢漢漢"', 8), { message: /has 11 bytes but at most 8/ })
})

t.test('line breaks between JSON tokens become spaces: data is one line, its value the same', async t => {
  const { data } = createDraft('a', { type: 't', data: '{\r\n  "a":\n1}' }, 100, 'the test')
  t.notMatch(data, /[\r\n]/)
  t.same(JSON.parse(data), { a: 1 })
})

t.test('a JavaScript value becomes JSON text, or an error that says where and why', async t => {
  t.equal(toJsonText(undefined, 'emit()'), 'null')
  t.equal(toJsonText({ a: new Date(0) }, 'emit()'), '{"a":"1970-01-01T00:00:00.000Z"}')
  const cycle: unknown[] = []
  cycle.push(cycle)
  for (const bad of [1n, cycle, () => 1, Symbol('s')]) {
    t.throws(() => toJsonText(bad, 'emit()'), {
      code: 'TIDINGS_INVALID_DATA',
      message: /data in emit\(\) must be a JSON value: \S/,
    })
  }
})

t.test('a value in a message is short and has no control characters', async t => {
  t.equal(shown('a\n"b"'), 'a\\n\\"b\\"')
  t.equal(shown('x'.repeat(99)), `${'x'.repeat(80)}...`)
})

t.test('JavaScript callers get coded errors for what is not even a string, and nothing is published', async t => {
  const publisher = createPublisher(async () => t.fail('it was published') as never, 1_000)
  // Safe: what a program without types would pass.
  const wrong = (value: unknown) => value as never
  await t.rejects(publisher.emit(wrong(undefined), { type: 'x' }), {
    code: 'TIDINGS_INVALID_USER',
    message: /'undefined'/,
  })
  await t.rejects(publisher.emit(wrong(null), { type: 'x' }), { code: 'TIDINGS_INVALID_USER' })
  await t.rejects(publisher.emit(wrong({}), { type: 'x' }), { code: 'TIDINGS_INVALID_USER' })
  await t.rejects(publisher.publish(wrong(undefined), { type: 'x' }), { code: 'TIDINGS_INVALID_ROOM' })
  await t.rejects(publisher.publish(wrong(['a']), { type: 'x' }), { code: 'TIDINGS_INVALID_ROOM' })
  await t.rejects(publisher.broadcast(wrong({})), { code: 'TIDINGS_INVALID_TYPE' })
  await t.rejects(publisher.broadcast(wrong({ type: 7 })), { code: 'TIDINGS_INVALID_TYPE' })
  await t.rejects(publisher.broadcast(wrong({ type: 'x', key: 7 })), { code: 'TIDINGS_INVALID_KEY' })
  await t.rejects(publisher.broadcast({ type: 'x', data: 1n }), { code: 'TIDINGS_INVALID_DATA' })
  const batch = [
    { to: 'a', type: 'x' },
    { to: 'a b', type: 'x' },
  ]
  await t.rejects(publisher.publishMany(batch), {
    code: 'TIDINGS_INVALID_ROOM',
    message: /^publishMany\(\)\[1\]: .*nothing of this batch/,
  })
  await t.rejects(publisher.publishMany(Array.from({ length: 1_001 }, () => batch[0]!)), {
    code: 'TIDINGS_BATCH_TOO_LARGE',
  })
})
