import t from 'tap'
import { trustOf } from '../../../src/http/trust-proxy.js'

t.test('TRUST_PROXY is a yes, a no, hops, or addresses and ranges', async t => {
  for (const text of ['10.0.0.0/8', '127.0.0.1, ::1', 'loopback', '2001:db8::/32']) t.equal(trustOf(text), text)
  t.equal(trustOf('true'), true)
  t.equal(trustOf('false'), false)
  const hops = trustOf('2')
  t.same(typeof hops === 'function' && [0, 1, 2].map(hop => hops('192.0.2.1', hop)), [true, true, false])
  for (const text of ['yes', '10.0.0.0/33', '10.0.0', '1000', '::1/129', 'a.example'])
    t.equal(trustOf(text), null, text)
})
