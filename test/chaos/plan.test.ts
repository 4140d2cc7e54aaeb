import t from 'tap'
import { FAULTS, type FaultKind, makePlan } from './plan.js'

const kinds = Object.keys(FAULTS) as FaultKind[] // its keys are that
const options = { seed: 1, minutes: 3, replicas: 3, kinds }

t.test('the same seed makes the same plan, another one another plan', async t => {
  t.same(makePlan(options), makePlan(options))
  t.notSame(makePlan(options), makePlan({ ...options, seed: 2 }))
})

t.test('every kind of fault comes at least once, however short the time', async t => {
  for (const minutes of [0, 3, 30]) {
    const planned = makePlan({ ...options, minutes }).flatMap(({ faults }) => faults.map(({ kind }) => kind))
    t.same([...new Set(planned)].sort(), [...kinds].sort(), `${minutes} minutes`)
  }
})

t.test('a failover is played with Sentinel, everything about one replica without', async t => {
  const [single, sentinel] = makePlan({ ...options, minutes: 30 })
  t.match([single?.topology, sentinel?.topology], ['single', 'sentinel'])
  t.notOk(single?.faults.some(({ kind }) => kind === 'failover'))
  const ways = sentinel?.faults.filter(({ kind }) => kind === 'failover').map(({ way }) => way)
  t.same([...new Set(ways)].sort(), ['asked', 'frozen', 'killed', 'rolled back', 'split'])
  t.same(
    makePlan({ ...options, kinds: ['failover'] }).map(({ topology }) => topology),
    ['sentinel'],
  )
})
