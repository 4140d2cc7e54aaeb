import t from 'tap'
import { RememberedTokens } from '../../../src/auth/remembered-tokens.js'
import { createViewer } from '../../../src/auth/viewer.js'

const viewer = (follow: string[]) => ({ ...createViewer({ userId: '42' }), follow })

t.test('tokens that list much are remembered as far as 16 MiB reach, the newest of them', async t => {
  const tokens = new RememberedTokens()
  // A token of 8,192 characters can expand to this much through `{sub}`.
  for (let n = 0; n < 1_000; n++)
    tokens.remember(`${n}`, viewer(Array.from({ length: 700 }, () => 'x'.repeat(195))), 100)
  t.ok(tokens.size > 90 && tokens.size < 110, `${tokens.size} of them`)
  t.equal(tokens.find('0', 0), undefined)
  t.ok(tokens.find('999', 0))
})

t.test('of short ones ten thousand are remembered, each for its time and once', async t => {
  const tokens = new RememberedTokens()
  for (let n = 0; n < 10_001; n++) tokens.remember(`${n}`, viewer([]), 100)
  tokens.remember('10000', viewer([]), 200)
  t.equal(tokens.size, 10_000)
  t.equal(tokens.find('0', 0), undefined)
  t.ok(tokens.find('1', 99))
  t.equal(tokens.find('1', 100), undefined)
  t.ok(tokens.find('10000', 100))
})
