import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { cases } from './cases.js'
import { fuzz } from './fuzz.js'
import { http2Cases, http2Status, isHttp2Answered } from './http2.js'
import { fuzzGateway, fuzzSecure } from './target.js'
import { handshakes } from './tls.js'

t.setTimeout(120_000)

const SECRETS = {
  keys: ['a-key-of-some-length'],
  tokens: ['aaaaaaaa.bbbbbbbb.cccccccc'],
  tickets: ['tkt_0123456789abcdef'],
}

/** Starts a server that sends `answer` of the first bytes on each connection. */
async function startBad(t: Test, answer: (request: string) => string | null): Promise<number> {
  const server = createServer(socket => {
    socket.on('error', () => {})
    let isAnswered = false
    socket.on('data', bytes => {
      const text = isAnswered ? null : answer(bytes.toString('latin1'))
      isAnswered = true
      if (text !== null) socket.end(text)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  // Safe: a server that listens on TCP has such an address.
  return (server.address() as AddressInfo).port
}

t.test('the run can fail: a 5xx, a hang and an echoed secret are each found and named', async t => {
  const find = async (answer: (request: string) => string | null, requests = 200, hangMs = 30_000) => {
    const options = {
      cases: cases(SECRETS),
      requests,
      seed: 1,
      secrets: ['the-secret-of-the-server'],
      hangMs,
    }
    const { violations } = await fuzz({ port: await startBad(t, answer), ...options })
    return [...new Set(violations.map(({ what }) => what))]
  }
  t.same(await find(() => 'HTTP/1.1 200 OK\r\n\r\n'), [])
  t.same(await find(() => 'HTTP/1.1 500 No\r\n\r\n'), ['answered 500'])
  t.same(await find(() => 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\n\r\n'), ['answered 503'])
  t.same(await find(() => null, 20, 500), ['was neither answered nor ended'])
  t.same(await find(request => `HTTP/1.1 400 Bad\r\n\r\n${request}`), ['a secret came back'])
  t.same(await find(() => 'HTTP/1.1 200 OK\r\n\r\nthe-secret-of-the-server'), ['a secret came back'])
})

t.test('the same seed sends the same', async t => {
  for (const each of [cases(SECRETS), handshakes(cases(SECRETS)), http2Cases(SECRETS)]) {
    const run = (seed: number) => fc.sample(each, { seed, numRuns: 200 }).map(({ bytes }) => bytes.toString('hex'))
    const [first, again, other] = [run(3), run(3), run(4)]
    t.same(first, again)
    t.strictNotSame(first, other)
  }
})

t.test("an answer's status is read out of HTTP/2 frames, however it is written", async t => {
  const answer = (block: string, flags = '04') =>
    Buffer.from(
      `00000004000000000000${(block.length / 2).toString(16).padStart(4, '0')}01${flags}00000001${block}`,
      'hex',
    ).toString('latin1')
  t.equal(http2Status(answer('88')), 200)
  t.equal(http2Status(answer('8e')), 500)
  t.equal(http2Status(answer('3fe11f8e')), 500, 'behind a change of the table')
  t.equal(http2Status(answer('208d')), 404)
  t.equal(http2Status(answer('4803353033')), 503, 'as plain text')
  t.equal(http2Status(answer('48836c0cff')), 503, 'in Huffman code: 011011 00000 011001')
  t.equal(http2Status(''), 0)
  t.notOk(isHttp2Answered(answer('88')))
  t.ok(isHttp2Answered(answer('88', '05')))
})

t.test('6,000 requests, good, bad and mutated: no crash, no hang, no 5xx, no echoed secret, memory back', async t => {
  const report = await fuzzGateway(t, 6_000, 20_261_121)
  t.same(report.violations, [])
  t.same(report.problems, [])
  t.equal(report.sent, 6_000)
  // The run reached every kind of answer and refusal.
  for (const status of [200, 201, 202, 400, 401, 403, 404, 406, 413, 415])
    t.ok(report.statuses[status], `some ${status}`)
})

t.test('900 cases over TLS: broken handshakes, plain HTTP, HTTP/1.1 and HTTP/2 frames', async t => {
  const report = await fuzzSecure(t, 900, 20_261_127)
  t.same(report.violations, [])
  t.same(report.problems, [])
  t.equal(report.sent, 900)
  for (const status of [200, 202, 400, 401, 404]) t.ok(report.statuses[status], `some ${status}`)
})
