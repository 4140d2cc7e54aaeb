import fc from 'fast-check'
import t from 'tap'
import { Keys } from '../../../src/bus/keys.js'

const answer = (n: number) => ({ id: `k-${n}`, room: 'room', at: n })

t.test('a key is found in its room for 5 minutes, and in no other', async t => {
  const keys = new Keys()
  keys.remember('a', 'k', answer(1), 0)
  t.same(keys.find('a', 'k', 299_999), answer(1))
  t.equal(keys.find('b', 'k', 0), undefined)
  t.equal(keys.find('a', 'k', 300_000), undefined)
  keys.remember('a', 'k', answer(2), 300_000)
  t.same(keys.find('a', 'k', 599_999), answer(2))
})

t.test('who floods one room with keys pushes out those of that room, and nobody else', async t => {
  const keys = new Keys(100)
  for (let n = 0; n < 10; n++) keys.remember(`user:${n}`, 'order', answer(n), 0)
  for (let n = 0; n < 10_000; n++) keys.remember('session:mallory', `k${n}`, answer(n), 1)
  for (let n = 0; n < 10; n++) t.same(keys.find(`user:${n}`, 'order', 2), answer(n))
  t.equal(keys.find('session:mallory', 'k9909', 2), undefined)
  t.ok(keys.find('session:mallory', 'k9910', 2), 'the flooder keeps its newest 90')
})

t.test('with any keys in any rooms at any time, what is kept is what the rule says', async t => {
  const LIMIT = 8
  const step = fc.record({ room: fc.nat(4), key: fc.nat(6), passes: fc.constantFrom(0, 1, 100_000) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      const keys = new Keys(LIMIT)
      // A model of the same rule, simple and slow: it counts the keys anew each time and drops the oldest first.
      let kept: { room: string; key: string; at: number }[] = []
      let now = 0
      for (const each of steps) {
        now += each.passes
        const [room, key] = [`r${each.room}`, `k${each.key}`]
        kept = kept.filter(({ at }) => at + 300_000 > now)
        const isKnown = kept.some(one => one.room === room && one.key === key)
        if ((keys.find(room, key, now) !== undefined) !== isKnown) return false
        if (isKnown) continue
        keys.remember(room, key, answer(now), now)
        kept.push({ room, key, at: now })
        if (kept.length > LIMIT) {
          const countOf = (name: string) => kept.filter(one => one.room === name).length
          const most = Math.max(...kept.map(one => countOf(one.room)))
          // When several rooms have the most keys, the rule does not say which one loses: accept any.
          const isGone = (one: (typeof kept)[number]) => keys.find(one.room, one.key, now) === undefined
          const gone = kept.filter(isGone)
          if (gone.length !== 1 || countOf(gone[0]!.room) !== most) return false
          if (kept.find(one => one.room === gone[0]!.room) !== gone[0]) return false
          kept = kept.filter(one => !isGone(one))
        }
      }
      return kept.every(one => keys.find(one.room, one.key, now) !== undefined)
    }),
  )
  t.pass('for all')
})

t.test('a clock that goes back loses no key and keeps the number bounded', async t => {
  const keys = new Keys(10)
  keys.remember('a', 'k', answer(1), 1_000_000)
  keys.remember('a', 'l', answer(2), 500_000)
  t.equal(keys.find('a', 'l', 900_000), undefined)
  keys.remember('a', 'l', answer(3), 900_000)
  t.same(keys.find('a', 'l', 1_100_000), answer(3))
  t.same(keys.find('a', 'k', 1_100_000), answer(1))
  for (let n = 0; n < 50; n++) keys.remember('b', `k${n}`, answer(n), 900_001)
  t.equal(Array.from({ length: 50 }, (_, n) => keys.find('b', `k${n}`, 900_002)).filter(Boolean).length, 8)
})
