import fc from 'fast-check'
import t from 'tap'
import { Limiter } from '../../src/limits/limiter.js'
import { testLimits } from './limits.js'

/** A limit of one process, whose clock stands still until it is moved. */
function createLimit(limit: number, windowMs: number) {
  const clock = { now: 1_000_000 }
  const limiter = new Limiter({ limit, windowMs, shared: null, now: () => clock.now })
  const advance = async (ms: number) => {
    clock.now += ms
  }
  return { limiter, clock, advance }
}

testLimits(t, (_, limit, windowMs) => createLimit(limit, windowMs))

t.test('one process decides every request at once', async t => {
  const request = fc.record({ events: fc.nat(20), isRest: fc.boolean() })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.array(request), (limit, requests) => {
      const { limiter } = createLimit(limit, 1_000)
      return requests.every(({ events, isRest }) => {
        const waitMs = isRest ? limiter.takeRest('a', events) : limiter.take('a', events)
        return typeof waitMs === 'number'
      })
    }),
  )
  t.pass('for all')
})
