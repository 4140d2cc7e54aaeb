import fc from 'fast-check'
import t from 'tap'
import { itemsOf, rawMember } from '../../../src/http/json.js'

const rawItems = (text: string, maxLength = text.length) =>
  [...itemsOf(text, maxLength)].map(({ start, end }) => text.slice(start, end))

// JSON text with optional white space and needless escapes.
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
        t.equal(rawMember(text, name, 'here'), last === undefined ? null : last[4])
      }
    }),
    { numRuns: 300 },
  )
})

t.test('rawMember agrees with JSON.parse on what the last member of a name is worth', async t => {
  fc.assert(
    fc.property(object, ({ text }) => {
      const parsed = new Map(Object.entries(JSON.parse(text)))
      const raw = rawMember(text, 'data', 'here')
      t.equal(raw !== null, parsed.has('data'))
      if (raw !== null) t.equal(JSON.stringify(JSON.parse(raw)), JSON.stringify(parsed.get('data')))
    }),
    { numRuns: 300 },
  )
})

t.test('itemsOf cuts an array into its items, character by character as they stand', async t => {
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
  t.equal(rawMember(`{"type":"x","data":${data}}`, 'data', 'here'), data)
  t.same(rawItems(`[${data}, ${data} ]`), [data, data])
})

// Text that is nearly JSON: a reader that only counts brackets would get it wrong.
const nearly = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: value },
      {
        weight: 1,
        arbitrary: fc.constantFrom('[', ']', '{', '}', ',', ':', '"', '\\', 'tru', '01', '.', "'", '\ufeff'),
      },
    ),
    { maxLength: 5 },
  )
  .chain(parts => fc.tuple(fc.constant(parts), fc.array(fc.constantFrom(',', ',', ',', ', ', '', ' ', ',,', '\n,'))))
  .map(([parts, commas]) => parts.map((part, i) => part + (i < parts.length - 1 ? (commas[i] ?? ',') : '')).join(''))
  .chain(inner =>
    fc.constantFrom(`[${inner}]`, `[${inner}]`, `[${inner}]`, `[${inner}`, `${inner}]`, inner, `[${inner}],`),
  )

t.test(
  'itemsOf and JSON.parse on each item take what JSON.parse takes as an array, and cut it into the same items',
  async t => {
    const parsed = (read: () => unknown) => {
      try {
        return read()
      } catch {
        return null
      }
    }
    const seen = { arrays: 0, others: 0 }
    fc.assert(
      fc.property(fc.oneof({ weight: 4, arbitrary: nearly }, fc.json(), fc.string()), text => {
        const whole = parsed(() => JSON.parse(text))
        const expected = Array.isArray(whole) ? whole : null
        const items = parsed(() => rawItems(text).map(item => JSON.parse(item) as unknown))
        seen[expected === null ? 'others' : 'arrays']++
        t.equal(JSON.stringify(items), JSON.stringify(expected))
      }),
      { numRuns: 3_000 },
    )
    t.ok(seen.arrays > 300 && seen.others > 300, JSON.stringify(seen))
  },
)

t.test('a place between two items that is no JSON is named by its position', async t => {
  for (const [text, at] of [
    ['[1 2]', 3],
    ['[1,]', 3],
    ['[,1]', 1],
    ['[1', 2],
    ['[1]x', 3],
    ['[{"a":1]}', 8],
    ['["a', 3],
    ['1', null],
    ['{"a":1}', null],
  ] as const) {
    const message = at === null ? 'the body: it must be a JSON array of events' : RegExp(`\\(at position ${at}\\)$`)
    t.throws(() => rawItems(text), { code: 'TIDINGS_INVALID_BODY', message }, text)
  }
})

t.test(
  '128 levels of lists and objects are read, and one more is refused by its place, before it is looked into',
  async t => {
    const nested = (levels: number, inner = '1') => `${'[{"a":'.repeat(levels / 2)}${inner}${'}]'.repeat(levels / 2)}`
    t.equal(rawMember(`{"data":${nested(128)}}`, 'data', 'here'), nested(128))
    t.equal(rawMember(`{"data":${nested(128, '"[[[["')}}`, 'data', 'here'), nested(128, '"[[[["'))
    t.same(rawItems(`[{"data":${nested(128)}}]`), [`{"data":${nested(128)}}`])
    const refusal = (place: string) => ({
      code: 'TIDINGS_INVALID_BODY',
      message: RegExp(`^${place}: it nests deeper than the 128 levels`),
    })
    t.throws(() => rawMember(`{"data":${nested(128, '[]')}}`, 'data', 'the body'), refusal('the body'))
    t.throws(() => rawItems(`[1,{"data":${nested(128, '{}')}}]`), refusal('item 2'))
  },
)

t.test('an item is followed no further than one character beyond the longest that is taken', async t => {
  const text = `[1,{"a":"${'x'.repeat(100)}","b":[${'1,'.repeat(1_000)}1]}]`
  t.same(
    [...itemsOf(text, text.length)].map(({ start, end }) => end - start),
    [1, text.length - 4],
  )
  const cut = itemsOf(text, 200)
  cut.next()
  const { value } = cut.next()
  t.match(value, { start: 3, end: 3 + 201 })
})

t.test('a megabyte of quotes, backslashes or brackets takes milliseconds', async t => {
  const hard = ['"'.repeat(5e5), '\\'.repeat(5e5), '\\"'.repeat(2e5)].map(value => JSON.stringify(value))
  hard.push('[],'.repeat(3e5).replace(/^(.*),$/, '[$1]'))
  for (const each of hard) {
    const startedAt = performance.now()
    t.equal(rawMember(`{"data":${each},"type":"x"}`, 'data', 'here')?.length, each.length)
    t.same(rawItems(`[${each}]`).length, 1)
    t.ok(performance.now() - startedAt < 500, `${performance.now() - startedAt} ms`)
  }
  const deep = `${'['.repeat(2e5)}${']'.repeat(2e5)}`
  t.throws(() => rawMember(`{"data":${deep},"type":"x"}`, 'data', 'here'), { message: /128 levels/ })
  t.throws(() => rawItems(`[${deep}]`), { message: /128 levels/ })
})
