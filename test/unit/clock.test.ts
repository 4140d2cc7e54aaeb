import t from 'tap'
import { MAX_STEP_BACK_MS, ProcessClock, RedisClock } from '../../src/clock.js'

t.test('before Redis was heard of it is not known what time it is there', async t => {
  const clock = new RedisClock(() => 0)
  t.notOk(clock.isSet)
  clock.observe(Number.NaN, 0)
  t.notOk(clock.isSet, 'an answer without a time says nothing')
  clock.observe(5_000, 0)
  t.ok(clock.isSet)
})

t.test('the clock of Redis goes on between answers, and is never ahead of it', async t => {
  // Redis' clock is at 1,000,000 when the monotonic clock is at 0. Requests take 8 ms, answers 2 ms.
  let monotonic = 0
  const redis = () => Math.floor(1_000_000 + monotonic)
  const clock = new RedisClock(() => monotonic)
  const ask = (way: number) => {
    const sentAt = monotonic
    monotonic += 8
    const time = redis()
    monotonic += way
    clock.observe(time, sentAt)
  }
  for (let n = 0; n < 100; n++) {
    ask(n % 10 === 0 ? 2 : 200)
    t.ok(clock.now() <= redis(), 'never ahead')
    monotonic += 700
    t.ok(clock.now() <= redis(), 'nor between two answers')
    t.ok(clock.now() >= redis() - 10, 'and slow answers do not make it worse')
  }
  monotonic += 3_600_000
  t.ok(clock.now() <= redis() && clock.now() >= redis() - 2_000, 'an hour without Redis costs two seconds at most')
})

t.test('a clock of Redis that was set is followed, and what it had said before is not forgotten', async t => {
  let monotonic = 0
  const clock = new RedisClock(() => monotonic)
  const say = (time: number) => {
    monotonic += 1
    clock.observe(time, monotonic - 1)
  }
  say(1_000_000)
  const before = clock.now()
  say(940_000)
  t.ok(Math.abs(clock.now() - 940_000) <= 1)
  t.equal(clock.latest, before)
  say(2_000_000)
  t.ok(Math.abs(clock.now() - 2_000_000) <= 1)
  t.equal(clock.latest, clock.now())
  say(2_000_000 - MAX_STEP_BACK_MS - 10)
  t.equal(clock.now(), clock.latest, 'but for one that was wrong by more than that')
})

t.test("the process' clock remembers how far it has been", async t => {
  let now = 1_000_000.7
  const clock = new ProcessClock(() => now)
  t.equal(clock.now(), 1_000_000)
  now -= 60_000
  t.equal(clock.now(), 940_000)
  t.equal(clock.latest, 1_000_000)
  now -= MAX_STEP_BACK_MS
  t.equal(clock.now(), clock.latest)
})
