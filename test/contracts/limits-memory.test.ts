import t from 'tap'
import { Limiter } from '../../src/limits/limiter.js'
import { testLimits } from './limits.js'

testLimits(t, (_, limit) => new Limiter({ limit, windowMs: 3_600_000, shared: null, now: () => 1_000_000 }))
