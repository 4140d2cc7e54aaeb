import fc from 'fast-check'
import t from 'tap'
import { readBatch, readEventBody } from '../../../src/http/body.js'

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
  await fc.assert(
    fc.asyncProperty(
      fc.array(item, { minLength: 1, maxLength: 8 }),
      fc.constantFrom('\n', '\r\n', '\n\n', '\n \n'),
      async (items, end) => {
        const texts = items.map(each => JSON.stringify(each))
        const drafts = await readBatch(`[${texts.join(' , ')}]`, false, 1_000_000)
        t.same(await readBatch(texts.join(end) + end, true, 1_000_000), drafts)
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
  await fc.assert(
    fc.asyncProperty(fc.oneof(hard, fc.json(), fc.string()), async text => {
      for (const read of [
        async () => readEventBody(text),
        () => readBatch(text, false, 100),
        () => readBatch(text, true, 100),
      ]) {
        try {
          await read()
        } catch (error) {
          t.match(error, { code: /^TIDINGS_/, statusCode: /^4/ })
        }
      }
    }),
    { numRuns: 500 },
  )
})

t.test('blank lines are skipped and counted', async t => {
  await t.rejects(readBatch('{"to":"a","type":"t"}\n\n\n{"to":"a"}', true, 100), {
    message: /^line 4: 'type' must be a string/,
  })
})

const MIB = 1_048_576
const EVENT = '{"to":"a","type":"t"}'
/** Repeats the text as often as it fits into the longest body. */
const fill = (text: string, bytes = 8 * MIB) => text.repeat(Math.floor(bytes / text.length))

t.test('what a batch has too much of is refused by name, and nothing of it was published', async t => {
  const long = `{"to":"a","type":"t","data":"${'x'.repeat(70_000)}"}`
  const deep = `{"to":"a","type":"t","data":${'['.repeat(129)}${']'.repeat(129)}}`
  for (const [body, isNdjson, expected] of [
    [`[${Array(1_001).fill(EVENT)}]`, false, /^the batch has at least 1001 events but at most 1000/],
    [`${EVENT}\n`.repeat(1_001), true, /^the batch has at least 1001 events but at most 1000/],
    [`${EVENT}\n${'\n'.repeat(10_000)}`, true, /^the batch has more than 10000 lines, blank ones included/],
    [
      `[${EVENT},${long}]`,
      false,
      /^item 2 is longer than 69632 bytes, of which data may have 65536 \(MAX_EVENT_BYTES\)/,
    ],
    [`\n${long}`, true, /^line 2 is longer than 69632 bytes, of which data may have 65536 \(MAX_EVENT_BYTES\)/],
    [`[${EVENT},${deep}]`, false, /^item 2: it nests deeper than the 128 levels/],
    [`${EVENT}\n${deep}`, true, /^line 2: it nests deeper than the 128 levels/],
    [
      `[${EVENT},${' '.repeat(70_000)}${EVENT}]`,
      false,
      /^the body: it has more than 69632 characters of white space in a row/,
    ],
    [`[${EVENT}`, false, /^the body: it is not valid JSON \(at position 22\)/],
    [`[${EVENT},{"to":}]`, false, /^item 2: it is not valid JSON.*; nothing of this batch was published$/],
  ] as const) {
    await t.rejects(readBatch(body, isNdjson, 65_536), { code: /^TIDINGS_/, statusCode: /^4/, message: expected })
  }
  t.equal((await readBatch(`[${Array(1_000).fill(EVENT)}]`, false, 100)).length, 1_000)
  t.equal((await readBatch(`\n`.repeat(9_999) + EVENT, true, 100)).length, 1)
})

t.test('an event whose data nests deeper than 128 levels is refused', async t => {
  const body = (levels: number) => `{"type":"a","data":${'['.repeat(levels)}${']'.repeat(levels)}}`
  t.equal(readEventBody(body(128)).data.length, 256)
  t.throws(() => readEventBody(body(129)), {
    code: 'TIDINGS_INVALID_BODY',
    statusCode: 400,
    message: /^the body: it nests deeper than the 128 levels that data may have/,
  })
})

t.test('the largest batches, several at once, never keep other requests waiting for long', async t => {
  const item = `{"to":"a","type":"t","data":${JSON.stringify(fill('[1,"b",{"c":null}]\n', 8_000))}}`
  const shapes: Record<string, [string, boolean]> = {
    'good items': [`[${Array(1_000).fill(item)}]`, false],
    'good lines': [`${item}\n`.repeat(1_000), true],
    'deep nesting': [`[{"to":"a","type":"t","data":${'['.repeat(4 * MIB)}${']'.repeat(4 * MIB - 64)}}]`, false],
    'deep nesting in a line': [`{"to":"a","type":"t","data":${'['.repeat(4 * MIB)}${']'.repeat(4 * MIB - 64)}}`, true],
    'hundreds of thousands of items': [`[${fill('{},')}{}]`, false],
    'hundreds of thousands of members': [`[{${fill('"a":1,')}"b":1}]`, false],
    'blank lines': [fill('\n'), true],
    'lines with a little': [fill('1\n'), true],
    'white space': [`[${fill(' ')}]`, false],
    'no end': [`["${fill('\\\\')}`, false],
  }
  /** Reads four such bodies at once, and returns the longest time that everything else had to wait, in ms. */
  const holdOf = async (name: string, body: string, isNdjson: boolean) => {
    let [last, longest, isOver] = [performance.now(), 0, false]
    // The process does all its other work between two turns of the event loop.
    const turn = () => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
      if (!isOver) setImmediate(turn)
    }
    setImmediate(turn)
    const outcomes = await Promise.allSettled(Array.from({ length: 4 }, () => readBatch(body, isNdjson, 65_536)))
    isOver = true
    await new Promise(resolve => setImmediate(resolve))
    const expected = name.startsWith('good') ? 'fulfilled' : 'rejected'
    t.equal(outcomes.filter(({ status }) => status === expected).length, 4, name)
    return longest
  }
  for (const [name, [body, isNdjson]] of Object.entries(shapes)) {
    const holds: number[] = []
    // On a busy machine one try may take too long, but not every try.
    while (holds.length < 5 && !holds.some(ms => ms < 250)) holds.push(await holdOf(name, body, isNdjson))
    t.ok(Math.min(...holds) < 250, `${name}: ${holds.map(ms => ms.toFixed(0))} ms`)
  }
})
