import t from 'tap'
import { isForeign } from '../../../src/auth/origin.js'

t.test('foreign is a page that its browser says is of another site', async t => {
  const listed = ['https://app.example']
  t.notOk(isForeign({}, 'gateway.example', listed), 'a program says nothing')
  t.notOk(isForeign({ origin: 'https://app.example' }, 'gateway.example', listed))
  t.notOk(isForeign({ origin: 'https://gateway.example' }, 'gateway.example', listed))
  t.notOk(isForeign({ 'sec-fetch-site': 'same-site' }, 'gateway.example', listed))
  for (const origin of [
    'https://evil.example',
    'null',
    'https://app.example.evil',
    'https://gateway.example:8443',
    '',
  ]) {
    t.ok(isForeign({ origin }, 'gateway.example', listed), origin)
  }
  t.ok(isForeign({ 'sec-fetch-site': 'cross-site' }, 'gateway.example', listed))
})
