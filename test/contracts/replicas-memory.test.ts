import t from 'tap'
import { MemoryReplicas } from '../../src/replicas/memory.js'
import { testReplicas } from './replicas.js'

testReplicas(t, async () => {
  const troubles: unknown[] = []
  return { replicas: new MemoryReplicas(error => troubles.push(error)), start: async () => {}, troubles }
})
