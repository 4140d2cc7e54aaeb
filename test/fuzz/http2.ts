import fc, { type Arbitrary } from 'fast-check'
import type { Case, Secrets } from './cases.js'
import { mutated } from './mutations.js'

// Frames of HTTP/2 (RFC 9113), to be sent over TLS: well made, badly made, in good and in bad order.

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const [F_DATA, F_HEADERS, F_PRIORITY, F_RST, F_SETTINGS, F_PUSH, F_PING, F_GOAWAY, F_WINDOW, F_CONTINUATION] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
] as const
const [END_STREAM, END_HEADERS] = [0x1, 0x4]

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  return Buffer.concat([u32(payload.length).subarray(1), Buffer.from([type, flags]), u32(stream), payload])
}

/** Header fields as HPACK literals without index and Huffman code (RFC 7541, 6.2.2). */
function hpack(fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string) => Buffer.concat([integer(Buffer.byteLength(value)), Buffer.from(value)])
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

// An integer with a prefix of seven bits (RFC 7541, 5.1).
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  for (let rest = value - 127; ; rest >>= 7) {
    bytes.push(rest < 128 ? rest : (rest & 0x7f) | 0x80)
    if (rest < 128) return Buffer.from(bytes)
  }
}

const SETTINGS = frame(F_SETTINGS, 0, 0, Buffer.alloc(0))
const NAMES = [
  '/livez',
  '/v1/stream?user=42',
  '/v1/broadcast',
  '/v1/events',
  '/v1/tickets',
  '/metrics',
  '/nowhere',
  '*',
  '',
]

function fieldsOf({ keys, tokens }: Secrets): Arbitrary<(readonly [string, string])[]> {
  const extra = fc.oneof(
    fc.constantFrom<readonly [string, string]>(
      ['content-type', 'application/json'],
      ['content-type', 'application/x-ndjson'],
      ['te', 'trailers'],
      ['connection', 'close'],
      ['transfer-encoding', 'chunked'],
      ['content-length', '7'],
      ['X-Upper', '1'],
      [':late', '1'],
      ['host', 'rebound.example'],
      ['x-forwarded-for', '203.0.113.7'],
      ['x-long', 'x'.repeat(20_000)],
      ['', ''],
    ),
    fc.constantFrom(...keys, ...tokens).map(secret => ['authorization', `Bearer ${secret}`] as const),
  )
  return fc
    .record({
      method: fc.constantFrom('GET', 'POST', 'DELETE', 'CONNECT', 'HEAD', ''),
      path: fc.constantFrom(...NAMES),
      authority: fc.constantFrom('localhost', '127.0.0.1:3000', 'rebound.example', ''),
      extra: fc.array(extra, { maxLength: 4 }),
    })
    .map(({ method, path, authority, extra }) => [
      [':method', method],
      [':scheme', 'https'],
      [':path', path],
      [':authority', authority],
      ...extra,
    ])
}

/** Whole connections: the preface and up to a dozen frames. */
export function http2Cases(secrets: Secrets): Arbitrary<Case> {
  const stream = fc.oneof(fc.constantFrom(1, 3, 5), fc.constantFrom(0, 2, 4, 0x7fffffff), fc.nat(40))
  const junk = fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes))
  const block = fieldsOf(secrets).map(hpack)
  const any = fc.oneof(
    { weight: 4, arbitrary: block },
    { weight: 1, arbitrary: mutated(block) },
    { weight: 1, arbitrary: junk },
  )
  const of = (type: number, payload: Arbitrary<Buffer>, flags: Arbitrary<number> = fc.constantFrom(0, 1, 4, 5, 0xff)) =>
    fc.tuple(flags, stream, payload).map(([flags, stream, payload]) => frame(type, flags, stream, payload))
  const flood = fc
    .tuple(stream, any, fc.nat(300), fc.nat(2_000), fc.boolean())
    .map(([stream, block, count, size, isEnded]) =>
      Buffer.concat([
        frame(F_HEADERS, END_STREAM, stream, block),
        ...Array(count).fill(frame(F_CONTINUATION, 0, stream, Buffer.alloc(size, 'x'))),
        ...(isEnded ? [frame(F_CONTINUATION, END_HEADERS, stream, Buffer.alloc(0))] : []),
      ]),
    )
  const setting = fc.tuple(fc.nat(8), fc.constantFrom(0, 1, 16_383, 65_535, 0x7fffffff, 0xffffffff))
  const frames = fc.oneof(
    { weight: 6, arbitrary: of(F_HEADERS, any, fc.constantFrom(4, 5, 5, 0, 1, 0x0c, 0x24, 0xff)) },
    { weight: 3, arbitrary: of(F_DATA, junk) },
    { weight: 1, arbitrary: flood },
    { weight: 1, arbitrary: of(F_CONTINUATION, any) },
    {
      weight: 2,
      arbitrary: of(
        F_SETTINGS,
        fc
          .array(setting, { maxLength: 4 })
          .map(pairs => Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), u32(value)])))),
      ),
    },
    { weight: 1, arbitrary: of(F_RST, fc.constantFrom(u32(0), u32(8), u32(99), Buffer.alloc(3))) },
    { weight: 1, arbitrary: of(F_PING, fc.constantFrom(Buffer.alloc(8), Buffer.alloc(7), Buffer.alloc(0))) },
    { weight: 2, arbitrary: of(F_WINDOW, fc.constantFrom(0, 1, 0x7fffffff, 0xffffffff).map(u32)) },
    { weight: 1, arbitrary: of(F_GOAWAY, fc.constantFrom(Buffer.alloc(8), Buffer.alloc(4), Buffer.alloc(300))) },
    { weight: 1, arbitrary: of(F_PRIORITY, fc.constantFrom(Buffer.alloc(5), Buffer.alloc(4))) },
    { weight: 1, arbitrary: of(F_PUSH, any) },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.integer({ min: 10, max: 255 }), junk).map(([type, junk]) => frame(type, 0, 1, junk)),
    },
    { weight: 1, arbitrary: junk },
  )
  const connection = fc.array(frames, { maxLength: 12 }).map(all => Buffer.concat([PREFACE, SETTINGS, ...all]))
  const good = fc.constantFrom('/livez', '/nowhere', '/v1/tickets').map(path => {
    const head = hpack([
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', path],
      [':authority', 'localhost'],
    ])
    return Buffer.concat([PREFACE, SETTINGS, frame(F_HEADERS, END_STREAM | END_HEADERS, 1, head)])
  })
  const broken = fc.oneof(
    connection,
    connection,
    mutated(connection),
    mutated(good),
    fc.tuple(good, frames).map(all => Buffer.concat(all)),
  )
  return fc.oneof(
    { weight: 1, arbitrary: good.map(bytes => ({ bytes, isWhole: true, secrets: [] })) },
    { weight: 9, arbitrary: broken.map(bytes => ({ bytes, isWhole: false, secrets: [] })) },
  )
}

/** The status of the first answer among the frames that came; 0 for none. */
export function http2Status(text: string): number {
  for (const { type, payload } of framesOf(text)) if (type === F_HEADERS) return statusIn(payload)
  return 0
}

/** True when the answer was whole, or the server gave up the connection. */
export function isHttp2Answered(text: string): boolean {
  const ends = ({ type, flags }: { type: number; flags: number }) =>
    type === F_GOAWAY || type === F_RST || ((type === F_HEADERS || type === F_DATA) && (flags & END_STREAM) !== 0)
  return framesOf(text).some(ends)
}

function framesOf(text: string): { type: number; flags: number; payload: Buffer }[] {
  const bytes = Buffer.from(text, 'latin1')
  const frames = []
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, payload: bytes.subarray(at + 9, at + 9 + length) })
    at += 9 + length
  }
  return frames
}

const INDEXED: Readonly<Record<number, number>> = {
  136: 200,
  137: 204,
  138: 206,
  139: 304,
  140: 400,
  141: 404,
  142: 500,
}

// `:status` comes first. It is an index of the static table, or a literal of three digits under one of its names, plain or Huffman.
function statusIn(block: Buffer): number {
  let at = 0
  // An update of the table's size may stand before it: five bits, then bytes with a continuation bit.
  if ((block[0]! & 0xe0) === 0x20) {
    at = 1
    if ((block[0]! & 0x1f) === 0x1f) while ((block[at++]! & 0x80) !== 0);
  }
  const first = block[at]
  if (first === undefined) return 0
  if (INDEXED[first] !== undefined) return INDEXED[first]
  const length = block[at + 1] ?? 0
  const value = block.subarray(at + 2, at + 2 + (length & 0x7f))
  return Number((length & 0x80) === 0 ? value.toString('latin1') : huffmanDigits(value))
}

// RFC 7541, appendix B: 0-2 have five bits, 3-9 six.
function huffmanDigits(bytes: Buffer): string {
  const bits = [...bytes].map(byte => byte.toString(2).padStart(8, '0')).join('')
  let digits = ''
  for (let at = 0; digits.length < 3 && at < bits.length; ) {
    const five = Number.parseInt(bits.slice(at, at + 5), 2)
    if (five <= 2) {
      digits += five
      at += 5
    } else {
      digits += Number.parseInt(bits.slice(at, at + 6), 2) - 0x19 + 3
      at += 6
    }
  }
  return digits
}
