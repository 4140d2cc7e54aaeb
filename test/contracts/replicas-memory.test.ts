import t from 'tap'
import { MemoryReplicas } from '../../src/replicas/memory.js'
import { testReplicas } from './replicas.js'

testReplicas(t, async () => ({ replicas: new MemoryReplicas(), start: async () => {} }))

t.test('nobody who listens answers for no stream', async t => {
  t.equal(await new MemoryReplicas().ask({ kind: 'disconnect', connectionId: 'c' }), 0)
})
