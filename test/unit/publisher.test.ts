import t from 'tap'
import { createPublisher } from '../../src/publisher.js'

t.test('JavaScript callers get coded errors for what is not even a string, and nothing is published', async t => {
  const publisher = createPublisher(async () => t.fail('it was published') as never, 1_000)
  // Safe: a program without types can pass this.
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
