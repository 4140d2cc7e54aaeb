import t from 'tap'
import { Gate } from '../../src/gate.js'

t.test('no more tasks run at once than the gate lets, all run in order, and a failure frees its place', async t => {
  const gate = new Gate(2)
  const started: number[] = []
  const finish: (() => void)[] = []
  const results = [0, 1, 2, 3, 4].map(n =>
    gate.run(async () => {
      started.push(n)
      await new Promise<void>(resolve => finish.push(resolve))
      if (n === 1) throw new Error('failed')
      return n
    }),
  )
  const outcomes = Promise.allSettled(results)
  for (let done = 0; done < 5; done++) {
    await Promise.resolve()
    t.ok(started.length - done <= 2, `${started.length - done} run`)
    finish[done]!()
    await results[done]!.catch(() => {})
    // The next task starts after the end of this one.
    await new Promise(resolve => setImmediate(resolve))
  }
  t.same(started, [0, 1, 2, 3, 4])
  t.same(
    (await outcomes).map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  )
})
