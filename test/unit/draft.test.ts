import t from 'tap'
import { createDraft, toJsonText } from '../../src/draft.js'

t.test('data may have exactly the allowed bytes', async t => {
  const make = (data: string, max: number) => createDraft('a', { type: 't', data }, max, 'the test')
  t.equal(make('"12345678"', 10).data, '"12345678"')
  t.throws(() => make('"123456789"', 10), { code: 'TIDINGS_EVENT_TOO_LARGE', statusCode: 413 })
  t.equal(make('"漢漢"', 8).data, '"漢漢"')
  t.throws(() => make('"漢漢漢"', 8), { message: /has 11 bytes but at most 8/ })
})

t.test('line breaks between JSON tokens become spaces: data is one line, its value the same', async t => {
  const { data } = createDraft('a', { type: 't', data: '{\r\n  "a":\n1}' }, 100, 'the test')
  t.notMatch(data, /[\r\n]/)
  t.same(JSON.parse(data), { a: 1 })
})

t.test('a JavaScript value becomes JSON text, or an error that says where and why', async t => {
  t.equal(toJsonText(undefined, 'emit()'), 'null')
  t.equal(toJsonText({ a: new Date(0) }, 'emit()'), '{"a":"1970-01-01T00:00:00.000Z"}')
  const cycle: unknown[] = []
  cycle.push(cycle)
  for (const bad of [1n, cycle, () => 1, Symbol('s')]) {
    t.throws(() => toJsonText(bad, 'emit()'), {
      code: 'TIDINGS_INVALID_DATA',
      message: /data in emit\(\) must be a JSON value: \S/,
    })
  }
})
