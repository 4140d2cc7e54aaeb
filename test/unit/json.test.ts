import fc from 'fast-check'
import t from 'tap'
import { rawItems, rawMember } from '../../src/http/json.js'

// JSON text with white space where it may stand, and escapes where there need be none.
const space = fc.string({ unit: fc.constantFrom(' ', '\n', '\r', '\t'), maxLength: 2 })
const text = fc.string({
  unit: fc.constantFrom('a', '"', '\\', '{', '}', '[', ']', ',', ':', '\n', '\u2028', '😀', '\ud800'),
})
const string = fc.oneof(text, fc.string()).map(value => JSON.stringify(value))
const escaped = text.map(
  value => `"${[...value].map(c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`,
)
const { value } = fc.letrec<{ value: string; array: string; object: string }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom('null', 'true', 'false', '0', '-0', '1.0', '1e400', '9007199254740993', '-1.5E-7'),
    string,
    escaped,
    tie('array'),
    tie('object'),
  ),
  array: fc
    .tuple(fc.array(fc.tuple(space, tie('value'), space), { maxLength: 4 }), space)
    .map(([items, gap]) => `[${items.map(item => item.join('')).join(',') || gap}]`),
  object: fc
    .tuple(
      fc.array(fc.tuple(space, fc.oneof(string, escaped), space, space, tie('value'), space), { maxLength: 4 }),
      space,
    )
    .map(
      ([members, gap]) =>
        `{${members.map(([a, key, b, c, each, d]) => `${a}${key}${b}:${c}${each}${d}`).join(',') || gap}}`,
    ),
}))
const key = fc.constantFrom('data', 'd\\u0061ta', 'type', '__proto__', 'da"ta', 'data ')
const member = fc.tuple(
  space,
  key.map(name => (name.includes('\\') ? `"${name}"` : JSON.stringify(name))),
  space,
  space,
  value,
  space,
)
const object = fc.tuple(space, fc.array(member, { maxLength: 6 }), space).map(([before, members, after]) => ({
  text: `${before}{${members.map(([a, name, b, c, each, d]) => `${a}${name}${b}:${c}${each}${d}`).join(',')}}${after}`,
  members,
}))

t.test('rawMember cuts out the last member of a name, character by character as it stands', async t => {
  fc.assert(
    fc.property(object, ({ text, members }) => {
      for (const name of ['data', 'type', '__proto__', 'da"ta', 'data ', 'absent']) {
        const last = members.findLast(([, key]) => JSON.parse(key) === name)
        t.equal(rawMember(text, name), last === undefined ? null : last[4])
      }
    }),
    { numRuns: 300 },
  )
})

t.test('rawMember agrees with JSON.parse on what the last member of a name is worth', async t => {
  fc.assert(
    fc.property(object, ({ text }) => {
      const parsed = new Map(Object.entries(JSON.parse(text)))
      const raw = rawMember(text, 'data')
      t.equal(raw !== null, parsed.has('data'))
      if (raw !== null) t.equal(JSON.stringify(JSON.parse(raw)), JSON.stringify(parsed.get('data')))
    }),
    { numRuns: 300 },
  )
})

t.test('rawItems cuts an array into its items, character by character as they stand', async t => {
  fc.assert(
    fc.property(space, fc.array(fc.tuple(space, value, space), { maxLength: 6 }), (gap, items) => {
      const text = `${gap}[${items.map(item => item.join('')).join(',') || gap}]${gap}`
      t.same(
        rawItems(text),
        items.map(([, each]) => each),
      )
    }),
    { numRuns: 300 },
  )
})

t.test('what JSON.parse and print would change stays as it was sent', async t => {
  const data = '{"b":9007199254740993,"a":1.0,"a":1e2,"\\u0063":"\\/"}'
  t.equal(rawMember(`{"type":"x","data":${data}}`, 'data'), data)
  t.same(rawItems(`[${data}, ${data} ]`), [data, data])
})

t.test('a megabyte of quotes, backslashes or brackets takes milliseconds', async t => {
  const hard = ['"'.repeat(5e5), '\\'.repeat(5e5), '\\"'.repeat(2e5)].map(value => JSON.stringify(value))
  hard.push(`${'['.repeat(2e5)}${']'.repeat(2e5)}`)
  for (const each of hard) {
    const startedAt = performance.now()
    t.equal(rawMember(`{"data":${each},"type":"x"}`, 'data')?.length, each.length)
    t.same(rawItems(`[${each}]`).length, 1)
    t.ok(performance.now() - startedAt < 500, `${performance.now() - startedAt} ms`)
  }
})
