import t from 'tap'
import { Admission } from '../../src/http/admission.js'

const turn = () => new Promise<void>(resolve => setImmediate(resolve))

t.test('so many are let in at once, the others in the turns that follow, in the order they came', async t => {
  const admission = new Admission(3)
  const entered: number[] = []
  for (let n = 1; n <= 8; n++) admission.enter(() => entered.push(n))
  t.same(entered, [1, 2, 3])
  await turn()
  t.same(entered, [1, 2, 3, 4, 5, 6])
  admission.enter(() => entered.push(9))
  t.same(entered, [1, 2, 3, 4, 5, 6], 'nobody overtakes')
  await turn()
  t.same(entered, [1, 2, 3, 4, 5, 6, 7, 8, 9])
})

t.test('what does not fill a turn costs it nothing, and each turn begins anew', async t => {
  const admission = new Admission(2)
  let entered = 0
  for (let turns = 0; turns < 5; turns++) {
    for (let n = 0; n < 2; n++) admission.enter(() => entered++)
    t.equal(entered, (turns + 1) * 2, 'at once')
    await turn()
    await turn()
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
  t.same(entered, ['first'])
  await turn()
  await turn()
  t.same(entered, ['first', 'brought', 'second'])
})
