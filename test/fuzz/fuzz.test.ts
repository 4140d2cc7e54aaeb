import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { cases } from './cases.js'
import { fuzz } from './fuzz.js'
import { fuzzGateway } from './target.js'

t.setTimeout(120_000)

const SECRETS = {
  keys: ['a-key-of-some-length'],
  tokens: ['aaaaaaaa.bbbbbbbb.cccccccc'],
  tickets: ['tkt_0123456789abcdef'],
}

/** A server that answers every connection the same way, whatever it is sent. */
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
  const run = (seed: number) =>
    fc.sample(cases(SECRETS), { seed, numRuns: 200 }).map(({ bytes }) => bytes.toString('hex'))
  const [first, again, other] = [run(3), run(3), run(4)]
  t.same(first, again)
  t.strictNotSame(first, other)
})

t.test('6,000 requests, good, bad and mutated: no crash, no hang, no 5xx, no echoed secret, memory back', async t => {
  const report = await fuzzGateway(t, 6_000, 20_261_121)
  t.same(report.violations, [])
  t.same(report.problems, [])
  t.equal(report.sent, 6_000)
  // It reached what lies behind every kind of refusal.
  for (const status of [200, 201, 202, 400, 401, 403, 404, 406, 413, 415])
    t.ok(report.statuses[status], `some ${status}`)
})
