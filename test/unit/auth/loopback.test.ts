import t from 'tap'
import { isLoopback } from '../../../src/auth/loopback.js'

t.test('only addresses of this machine are loopback', async t => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) t.ok(isLoopback(host), host)
  for (const host of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '127.example.com',
    '127.0.0.1.example.com',
    'localhost.example.com',
    '',
  ])
    t.notOk(isLoopback(host), host)
})
