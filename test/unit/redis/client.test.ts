import t from 'tap'
import { replyCode } from '../../../src/redis/client.js'

t.test('what stopped a script is told by its code, on every version of Redis', async t => {
  const wrapped = (what: string) =>
    `ERR Error running script (call to f_e6a86ad1a924540477c9472c2190eee2a2a70445): @user_script:1: @user_script: 1: -${what}`
  for (const [message, code] of [
    ["READONLY You can't write against a read only replica. script: e6a86ad1, on @user_script:1.", 'READONLY'],
    [wrapped("READONLY You can't write against a read only replica."), 'READONLY'],
    [wrapped("OOM command not allowed when used memory > 'maxmemory'."), 'OOM'],
    [wrapped('NOREPLICAS Not enough good replicas to write.'), 'NOREPLICAS'],
    ['MOVED 13907 127.0.0.1:7001', 'MOVED'],
    ['ERR unknown command', 'ERR'],
    ['Connection is closed.', ''],
    ['no answer of Redis in time', ''],
  ] as const) {
    t.equal(replyCode(message), code, message)
  }
})
