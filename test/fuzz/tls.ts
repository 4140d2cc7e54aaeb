import fc, { type Arbitrary } from 'fast-check'
import type { Case } from './cases.js'
import { mutated } from './mutations.js'

// Bytes for a port that speaks TLS: a client's first message, whole and broken, bytes that are no TLS record, and plain HTTP.

const [HANDSHAKE, ALERT, CHANGE_CIPHER, DATA] = [0x16, 0x15, 0x14, 0x17]

const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff])
const sized = (bytes: Buffer) => Buffer.concat([u16(bytes.length), bytes])
const extension = (type: number, body: Buffer) => Buffer.concat([u16(type), sized(body)])
const record = (type: number, body: Buffer) => Buffer.concat([Buffer.from([type, 3, 1]), sized(body)])

/** A valid ClientHello (RFC 8446) for TLS 1.3 and 1.2. */
function clientHello(random: Buffer, protocols: readonly string[], name: string): Buffer {
  const alpn = Buffer.concat(protocols.map(each => Buffer.concat([Buffer.from([each.length]), Buffer.from(each)])))
  const share = Buffer.concat([u16(0x001d), sized(random)])
  const extensions = Buffer.concat([
    extension(0, sized(Buffer.concat([Buffer.from([0]), sized(Buffer.from(name))]))),
    extension(10, sized(u16(0x001d))),
    extension(13, sized(Buffer.concat([0x0403, 0x0804, 0x0401].map(u16)))),
    extension(16, sized(alpn)),
    extension(43, Buffer.concat([Buffer.from([4]), u16(0x0304), u16(0x0303)])),
    extension(51, sized(share)),
  ])
  const ciphers = Buffer.concat([0x1301, 0x1302, 0xc02b, 0xc02f].map(u16))
  const body = Buffer.concat([
    u16(0x0303),
    random,
    Buffer.from([32]),
    random,
    sized(ciphers),
    Buffer.from([1, 0]),
    sized(extensions),
  ])
  return record(HANDSHAKE, Buffer.concat([Buffer.from([1, 0]), sized(body)]))
}

/** Cases for a TLS port, sent over a bare TCP connection. `plain` are requests for a port without TLS. */
export function handshakes(plain: Arbitrary<Case>): Arbitrary<Case> {
  const hello = fc
    .tuple(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.subarray(['h2', 'http/1.1', 'h3', 'x'.repeat(200)], { minLength: 1 }),
      fc.constantFrom('localhost', 'a'.repeat(250), '\0', ''),
    )
    .map(([random, protocols, name]) => clientHello(Buffer.from(random), protocols, name))
  const junk = fc
    .tuple(fc.constantFrom(HANDSHAKE, ALERT, CHANGE_CIPHER, DATA, 0x80, 0), fc.uint8Array({ maxLength: 300 }))
    .map(([type, bytes]) => record(type, Buffer.from(bytes)))
  const bytes = fc.oneof(
    { weight: 4, arbitrary: mutated(hello) },
    { weight: 2, arbitrary: fc.tuple(hello, fc.nat()).map(([hello, at]) => hello.subarray(0, at % hello.length)) },
    { weight: 2, arbitrary: fc.tuple(hello, fc.array(junk, { maxLength: 3 })).map(all => Buffer.concat(all.flat())) },
    { weight: 1, arbitrary: fc.array(hello, { minLength: 2, maxLength: 4 }).map(all => Buffer.concat(all)) },
    { weight: 1, arbitrary: junk },
    { weight: 2, arbitrary: plain.map(({ bytes }) => bytes) },
  )
  return bytes.map(bytes => ({ bytes, isWhole: false, secrets: [] }))
}
