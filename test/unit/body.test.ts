import fc from 'fast-check'
import t from 'tap'
import { readBatch, readEventBody } from '../../src/http/body.js'

t.test('a body is read with its data as it was sent', async t => {
  const data = '{"n":9007199254740993, "x":1.0}'
  t.same(readEventBody(`{"data":${data},"type":"a","ephemeral":true,"key":"k"}`), {
    type: 'a',
    data,
    ephemeral: true,
    key: 'k',
  })
  t.same(readEventBody('{"type":"a"}'), { type: 'a', data: 'null', ephemeral: undefined, key: undefined })
})

t.test('an array and its lines give the same drafts', async t => {
  const item = fc.record({ to: fc.constantFrom('a', '*', 'user:1'), type: fc.constant('t'), data: fc.jsonValue() })
  fc.assert(
    fc.property(
      fc.array(item, { minLength: 1, maxLength: 8 }),
      fc.constantFrom('\n', '\r\n', '\n\n', '\n \n'),
      (items, end) => {
        const texts = items.map(each => JSON.stringify(each))
        const drafts = readBatch(`[${texts.join(' , ')}]`, false, 1_000_000)
        t.same(readBatch(texts.join(end) + end, true, 1_000_000), drafts)
        t.same(
          drafts.map(({ room, data }) => ({ room, data })),
          items.map(({ to, data }) => ({ room: to, data: JSON.stringify(data) })),
        )
      },
    ),
  )
})

t.test('any text is read or refused with a code, never anything else', async t => {
  const hard = fc.string({
    unit: fc.constantFrom('{', '}', '[', ']', '"type"', ':', ',', '"a"', '"data"', '1', ' ', '\n', '\\', '"to"'),
  })
  fc.assert(
    fc.property(fc.oneof(hard, fc.json(), fc.string()), text => {
      for (const read of [
        () => readEventBody(text),
        () => readBatch(text, false, 100),
        () => readBatch(text, true, 100),
      ]) {
        try {
          read()
        } catch (error) {
          t.match(error, { code: /^TIDINGS_/, statusCode: /^4/ })
        }
      }
    }),
    { numRuns: 500 },
  )
})

t.test('blank lines are skipped and counted', async t => {
  t.throws(() => readBatch('{"to":"a","type":"t"}\n\n\n{"to":"a"}', true, 100), {
    message: /^line 4: 'type' must be a string/,
  })
})
