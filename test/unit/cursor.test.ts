import fc from 'fast-check'
import t from 'tap'
import { type Cursor, formatCursor, isAfter, parseCursor } from '../../src/cursor.js'

const epoch = fc.stringMatching(/^[a-z0-9]{1,16}$/)
const cursor = fc.record({ epoch, seq: fc.maxSafeNat() })

t.test('a cursor survives its text', async t => {
  fc.assert(fc.property(cursor, each => t.same(parseCursor(formatCursor(each)), each)))
})

t.test('a text that is no cursor is null, and so never complete', async t => {
  const garbage = [
    '',
    '-',
    'k',
    'k-',
    '-1',
    'k--1',
    'k-1 ',
    ' k-1',
    'k-01',
    'k-1.0',
    'k-1e3',
    'K-1',
    'k-1\n',
    'k_1',
    'k-1-1',
    '\u0000',
    'k-9007199254740992',
    'k-99999999999999999',
    'a'.repeat(17).concat('-1'),
    'k-\u0661',
    'null',
    'undefined',
    '[object Object]',
  ]
  for (const text of garbage) t.equal(parseCursor(text), null, JSON.stringify(text))
  t.same(parseCursor('k-9007199254740991'), { epoch: 'k', seq: Number.MAX_SAFE_INTEGER })
})

t.test('any text is a cursor that prints as that text, or none', async t => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('a', '0', '9', '-') })), text => {
      const parsed = parseCursor(text)
      t.ok(parsed === null || formatCursor(parsed) === text)
    }),
    { numRuns: 500 },
  )
})

t.test('order within an epoch is by seq; what comes with another epoch is later', async t => {
  const at = (seq: number, epoch = 'k'): Cursor => ({ epoch, seq })
  t.ok(isAfter(at(2), at(1)))
  t.notOk(isAfter(at(1), at(1)))
  t.notOk(isAfter(at(1), at(2)))
  t.ok(isAfter(at(1, 'n'), at(2)))
})
