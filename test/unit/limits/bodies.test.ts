import fc from 'fast-check'
import t from 'tap'
import { Bodies } from '../../../src/limits/bodies.js'

t.test('a publisher may hold so much and no more, and again what it gave back', async t => {
  const bodies = new Bodies({ amplyBytes: 1_000, publisherBytes: 250 })
  t.equal(bodies.take('a', 250), null)
  t.equal(bodies.take('a', 1), 250)
  t.equal(bodies.take('b', 250), null)
  bodies.release('a', 100)
  t.equal(bodies.take('a', 100), null)
  for (const who of ['a', 'b']) bodies.release(who, 250)
  t.same([bodies.heldBytes, bodies.heldBy('a')], [0, 0])
})

t.test('many who hold on to what they have do not keep others out', async t => {
  const bodies = new Bodies({ amplyBytes: 1_000, publisherBytes: 250 })
  for (const who of ['a', 'b', 'c', 'd']) t.equal(bodies.take(who, 250), null)
  t.equal(bodies.take('e', 100), null)
  t.equal(bodies.take('e', 100), null)
  t.equal(bodies.take('e', 1), 200, 'a fifth')
})

t.test('a thousand who take what they get, one after the other, hold no more than twice the ample part', async t => {
  const bodies = new Bodies({ amplyBytes: 1_000_000, publisherBytes: 250_000 })
  for (let n = 0; n < 1_000; n++) while (bodies.take(`p${n}`, 1) === null);
  t.ok(bodies.heldBytes > 1_900_000 && bodies.heldBytes <= 2_000_000, `${bodies.heldBytes} bytes`)
})

t.test('by default a whole batch fits, and the bounds follow the heap', async t => {
  const bodies = new Bodies()
  t.equal(bodies.take('a', 8 * 1_048_576 + 6_000 * 128), null)
  t.ok((bodies.take('a', 2 ** 40) ?? 0) <= 128 * 1_048_576)
})

t.test('together they never hold more than twice the ample part', async t => {
  const step = fc.record({ who: fc.nat(9), bytes: fc.integer({ min: 1, max: 300 }), isRelease: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const bodies = new Bodies({ amplyBytes: 1_000, publisherBytes: 400 })
      const held = new Map<string, number>()
      for (const { who: n, bytes, isRelease } of steps) {
        const who = `p${n}`
        const mine = held.get(who) ?? 0
        if (isRelease) {
          bodies.release(who, Math.min(mine, bytes))
          held.set(who, mine - Math.min(mine, bytes))
        } else if (bodies.take(who, bytes) === null) held.set(who, mine + bytes)
        const sum = [...held.values()].reduce((a, b) => a + b, 0)
        if (sum !== bodies.heldBytes || sum > 2_000 || (held.get(who) ?? 0) > 400) return false
      }
      return true
    }),
  )
  t.pass('for all')
})
