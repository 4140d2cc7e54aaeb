import fc, { type Arbitrary } from 'fast-check'

/** A body for the batch route, with its media type. */
export interface BatchBody {
  readonly type: string
  readonly body: Buffer
}

const EVENT = '{"to":"hub","type":"a"}'
// Some bodies are as large as allowed. Most are small, so that a run is not spent on sending them.
const SIZE = fc.oneof(
  { weight: 12, arbitrary: fc.nat(2_000) },
  { weight: 3, arbitrary: fc.nat(50_000) },
  { weight: 1, arbitrary: fc.nat(1_000_000) },
)

/** Arrays and NDJSON: well made, with too many items, lines or levels, with blank lines, cut off, or with forbidden content. */
export function batchBody(): Arbitrary<BatchBody> {
  return fc.oneof(
    array(),
    lines(),
    fc.tuple(array(), lines()).map(([{ body }, { type }]) => ({ type, body })),
  )
}

function array(): Arbitrary<BatchBody> {
  const text = fc.oneof(
    fc.integer({ min: 1, max: 1_100 }).map(items => `[${Array(items).fill(EVENT)}]`),
    SIZE.map(items => `[${'{},'.repeat(items)}{}]`),
    SIZE.map(members => `[{${'"a":1,'.repeat(members)}"b":1}]`),
    SIZE.map(levels => `[{"to":"hub","type":"a","data":${'['.repeat(levels)}${']'.repeat(levels)}}]`),
    SIZE.map(levels => `[{"to":"hub","type":"a","data":${'{"a":'.repeat(levels)}`),
    SIZE.map(levels => '['.repeat(levels)),
    SIZE.map(spaces => `[${' '.repeat(spaces)}${EVENT}${'\n'.repeat(spaces)}]`),
    SIZE.map(size => `["${'\\'.repeat(size)}`),
    SIZE.map(size => `[${EVENT},{"to":"hub","type":"a","data":"${'x'.repeat(size)}"}]`),
    fc.constantFrom(
      '[]',
      '[,]',
      `[${EVENT},]`,
      `[${EVENT} ${EVENT}]`,
      `[${EVENT}]]`,
      `[${EVENT}`,
      `{${EVENT}`,
      '[null]',
      '[[]]',
    ),
    fc.nat(60).map(at => `[${EVENT},${EVENT}]`.slice(0, at)),
  )
  return text.map(text => ({ type: 'application/json', body: Buffer.from(text) }))
}

function lines(): Arbitrary<BatchBody> {
  const end = fc.constantFrom('\n', '\r\n', '\n\n', '\n \t\n', '\r', '\u2028')
  const text = fc.oneof(
    fc.tuple(fc.integer({ min: 1, max: 1_100 }), end).map(([items, end]) => `${EVENT}${end}`.repeat(items)),
    fc.tuple(SIZE, end).map(([blank, end]) => `${EVENT}${end.repeat(blank)}${EVENT}`),
    fc.tuple(SIZE, end).map(([count, end]) => `1${end}`.repeat(count)),
    SIZE.map(levels => `${EVENT}\n{"to":"hub","type":"a","data":${'['.repeat(levels)}${']'.repeat(levels)}}`),
    SIZE.map(size => `${EVENT}\n${'x'.repeat(size)}`),
    fc.nat(60).map(at => `${EVENT}\n${EVENT}`.slice(0, at)),
    fc.constantFrom('', '\n', '\0', '\ufeff', `\ufeff${EVENT}`, `[${EVENT}]`, '"', '{}'),
  )
  const type = fc.constantFrom('application/x-ndjson', 'application/ndjson', 'application/x-ndjson; charset=utf-8')
  return fc.tuple(text, type).map(([text, type]) => ({ type, body: Buffer.from(text) }))
}
