import t from 'tap'
import { Admission } from '../../../src/http/admission.js'

const STANDING = () => 0
const turn = () => new Promise<void>(resolve => setImmediate(resolve))

t.test('a complete group is let in at the end of its turn, the others in groups, in the order they came', async t => {
  const admission = new Admission(3, STANDING)
  const entered: number[] = []
  for (let n = 1; n <= 8; n++) admission.enter(() => entered.push(n))
  t.same(entered, [], 'nobody within the turn')
  await turn()
  t.same(entered, [1, 2, 3])
  admission.enter(() => entered.push(9))
  await turn()
  t.same(entered, [1, 2, 3, 4, 5, 6], 'nobody overtakes')
  await turn()
  t.same(entered, [1, 2, 3, 4, 5, 6, 7, 8, 9])
})

t.test('who comes alone waits for one turn, in which nobody else comes', async t => {
  const admission = new Admission(3, STANDING)
  let entered = 0
  for (let times = 1; times <= 3; times++) {
    admission.enter(() => entered++)
    await turn()
    t.equal(entered, times - 1)
    await turn()
    t.equal(entered, times)
  }
})

t.test('while each turn brings somebody, a group gathers until it is complete', async t => {
  const admission = new Admission(3, STANDING)
  const entered: number[] = []
  for (let n = 1; n <= 2; n++) {
    admission.enter(() => entered.push(n))
    await turn()
    t.same(entered, [])
  }
  admission.enter(() => entered.push(3))
  await turn()
  t.same(entered, [1, 2, 3])
})

t.test('where turns are long, nobody waits for a complete group', async t => {
  let now = 0
  const admission = new Admission(100, () => now)
  const entered: number[] = []
  for (let n = 1; n <= 3; n++) {
    admission.enter(() => entered.push(n))
    await turn()
    t.same(entered, n === 3 ? [1, 2, 3] : [], `${now} ms after the first`)
    now += 2.5
  }
})

t.test('one who enters may bring others, and they wait their turn like everybody', async t => {
  const admission = new Admission(1)
  const entered: string[] = []
  admission.enter(() => {
    entered.push('first')
    admission.enter(() => entered.push('brought'))
  })
  admission.enter(() => entered.push('second'))
  await turn()
  t.same(entered, ['first'])
  await turn()
  t.same(entered, ['first', 'second'])
  await turn()
  t.same(entered, ['first', 'second', 'brought'])
})
