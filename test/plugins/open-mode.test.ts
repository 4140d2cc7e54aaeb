import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { tidings } from '../../src/app.js'
import { listen, startApp } from '../helpers/app.js'
import { exchange } from '../helpers/exchange.js'
import { http2Request, openSession } from '../helpers/http2.js'
import { authority, startSecure } from '../helpers/secure-gateway.js'

// Without credentials the gateway believes every user id. So it serves only clients on this machine, whichever way a request takes.

const HOSTS_HERE = [
  'localhost',
  'localhost:3000',
  'LOCALHOST',
  'localhost.',
  'app.localhost:5173',
  '127.0.0.1',
  '127.1.2.3:80',
  '[::1]',
  '[::1]:3000',
]
const HOSTS_ELSEWHERE = [
  'rebound.example',
  'rebound.example:3000',
  'a',
  'localhost.example',
  'localhost.evil.example:3000',
  'notlocalhost',
  '127.0.0.1.example',
  '127.0.0.1.nip.io:3000',
  '128.0.0.1',
  '0.0.0.0:3000',
  '192.168.1.7',
  '[::2]',
  '[::ffff:7f00:1]',
  '::1',
  '.localhost',
  '',
]
const MARKS = [
  'X-Forwarded-For: 203.0.113.7',
  'X-Forwarded-For: 127.0.0.1',
  'x-forwarded-host: localhost',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Anything: 1',
  'Forwarded: for=203.0.113.7',
  'X-Real-IP: 203.0.113.7',
  'Via: 1.1 proxy',
  'CF-Connecting-IP: 203.0.113.7',
  'True-Client-IP: 203.0.113.7',
]

const PUBLISH = 'Content-Type: application/json\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{"type":"a"}'

/** Returns the answers to a publish, a stream and a ticket request with these header lines. */
async function ask(t: Test, url: string, lines: string[], version = '1.1') {
  const head = (line: string) => `${[`${line} HTTP/${version}`, ...lines].join('\r\n')}\r\n`
  return [
    await exchange(t, url, `${head('POST /v1/broadcast')}${PUBLISH}`, /\}$/),
    await exchange(t, url, `${head('GET /v1/stream?user=42')}\r\n`, /\}$|stream\.open/),
    await exchange(t, url, `${head('DELETE /v1/users/42/connections')}Connection: close\r\n\r\n`, /\}$/),
  ]
}

const APPLICATIONS: Record<string, (t: Test) => Promise<{ url: string }>> = {
  'the gateway': t => startApp(t),
  'a gateway that believes proxies': t => startApp(t, { trustProxy: 'true' }),
  'an application that gives no authenticate': async t => {
    const app = Fastify()
    await app.register(tidings, {})
    return listen(t, app)
  },
  "an application that says auth: 'none'": async t => {
    const app = Fastify()
    await app.register(tidings, { auth: 'none' })
    return listen(t, app)
  },
}

for (const [name, start] of Object.entries(APPLICATIONS)) {
  t.test(`open: ${name} serves no page that was given a name for this machine (DNS rebinding)`, async t => {
    const { url } = await start(t)
    for (const host of HOSTS_HERE) {
      for (const answer of await ask(t, url, [`Host: ${host}`])) t.match(answer, /^HTTP\/1\.1 20[02] /, host)
    }
    for (const host of HOSTS_ELSEWHERE) {
      for (const answer of await ask(t, url, [`Host: ${host}`])) {
        t.match(answer, /^HTTP\/1\.1 403 .*TIDINGS_OPEN_TO_LOOPBACK.*Host header is not localhost.*JWT_SECRET/s, host)
      }
    }
  })

  t.test(`open: ${name} serves nobody through a proxy on this machine`, async t => {
    const { url } = await start(t)
    for (const mark of MARKS) {
      for (const answer of await ask(t, url, ['Host: localhost', mark])) {
        const named = RegExp(`it has the header ${mark.split(':')[0]!.toLowerCase()}\\).*JWT_SECRET`)
        t.match(answer, /^HTTP\/1\.1 403 .*TIDINGS_OPEN_TO_LOOPBACK/s, mark)
        t.match(answer, named, mark)
      }
    }
    // nginx forwards requests of the world like this by default.
    for (const lines of [['Host: 127.0.0.1:3000'], []]) {
      for (const answer of await ask(t, url, [...lines, 'Connection: close'], '1.0')) {
        t.match(answer, /^HTTP\/1\.[01] 403 .*TIDINGS_OPEN_TO_LOOPBACK.*HTTP\/1\.0/s, lines.join())
      }
    }
  })

  t.test(`open: ${name} serves no page of another host, whatever proxy leaves no other mark`, async t => {
    const { url } = await start(t)
    const foreign = ['Origin: https://app.example', 'Origin: null', 'Referer: https://app.example/x', 'Referer: x']
    for (const line of foreign) {
      for (const answer of await ask(t, url, ['Host: localhost', line])) {
        t.match(answer, /^HTTP\/1\.1 403 .*TIDINGS_(?:OPEN_TO_LOOPBACK|ORIGIN_FORBIDDEN)/s, line)
      }
    }
    const near = ['Origin: http://localhost:3000', 'Referer: http://localhost:5173/x', 'Referer: http://127.0.0.1/']
    for (const line of near) {
      for (const answer of await ask(t, url, ['Host: localhost:3000', line]))
        t.match(answer, /^HTTP\/1\.1 20[02] /, line)
    }
  })

  t.test(`open: ${name} takes no request that names two hosts`, async t => {
    const { url } = await start(t)
    const [here, elsewhere] = ['Host: localhost', 'Host: rebound.example']
    for (const lines of [
      [here, elsewhere],
      [elsewhere, here],
    ]) {
      for (const answer of await ask(t, url, lines)) t.match(answer, /^HTTP\/1\.1 403 .*TIDINGS_OPEN_TO_LOOPBACK/s)
    }
    const stream = (target: string, host: string) =>
      exchange(t, url, `GET ${target} HTTP/1.1\r\n${host}\r\n\r\n`, /\}$|stream\.open/)
    t.match(await stream('http://rebound.example/v1/stream', here), /^HTTP\/1\.1 403 /)
    t.match(await stream('http://localhost/v1/stream', elsewhere), /^HTTP\/1\.1 403 /)
    t.match(await stream('http://localhost/v1/stream', here), /^HTTP\/1\.1 200 /)
  })
}

t.test('with credentials configured a proxy and any Host are welcome', async t => {
  const { url } = await startApp(t, { apiKeys: 'jobs=a-key-0123456789' })
  const lines = ['Host: gateway.example', 'X-Forwarded-For: 203.0.113.7', 'Authorization: Bearer a-key-0123456789']
  for (const answer of await ask(t, url, lines)) t.match(answer, /^HTTP\/1\.1 20[02] /)
})

t.test('open: the same holds over TLS with HTTP/2, where the host is the :authority', async t => {
  const { gateway } = await startSecure(t)
  const session = await openSession(t, gateway.port, authority.ca)
  const publish = (headers: Record<string, string>) =>
    http2Request(session, '/v1/broadcast', { 'content-type': 'application/json', ...headers, body: '{"type":"a"}' })
  t.equal((await publish({})).status, 202)
  t.equal((await publish({ ':authority': '[::1]:3000' })).status, 202)
  for (const headers of [
    { ':authority': 'rebound.example' },
    { ':authority': 'localhost', host: 'rebound.example' },
    { 'x-forwarded-for': '127.0.0.1' },
  ]) {
    const { status, text } = await publish(headers)
    t.match({ status, text }, { status: 403, text: /TIDINGS_OPEN_TO_LOOPBACK/ }, JSON.stringify(headers))
  }
})

t.test('open: the page at / can be looked at from anywhere, and do nothing from there', async t => {
  const { url } = await startApp(t)
  const page = await exchange(t, url, 'GET / HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n')
  t.match(page, /^HTTP\/1\.1 200 /)
  for (const answer of await ask(t, url, ['Host: rebound.example'])) t.match(answer, /^HTTP\/1\.1 403 /)
})
