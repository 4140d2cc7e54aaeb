import t from 'tap'
import { Limiter } from '../../../src/limits/limiter.js'

/** A limiter whose clock stands still until it is moved. */
function limiterOf(limit: number, windowMs: number, most: number) {
  const clock = { now: 1_000_000 }
  const limiter = new Limiter({ limit, windowMs, shared: null, now: () => clock.now, most })
  return { limiter, clock }
}

t.test(
  'only so many are known, those who owe nothing are forgotten, and a flood of others frees no debtor',
  async t => {
    const { limiter, clock } = limiterOf(10, 1_000, 1_000)
    limiter.charge('debtor', 5_000)
    for (let n = 0; n < 20_000; n++) limiter.take(`passer-by ${n}`, 1)
    t.equal(limiter.size, 1_000)
    t.equal(limiter.take('debtor', 1), 499_100)
    clock.now += 2_000
    for (let n = 0; n < 2_000; n++) limiter.take('another', 0) || limiter.take('another', 1)
    t.ok(limiter.size <= 2, `${limiter.size}: the debtor and the one who is there`)
    t.equal(limiter.take('debtor', 1), 497_100)
  },
)
