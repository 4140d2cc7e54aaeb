import { createHmac, generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Config } from '../../src/config/config.js'
import { startApp } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { exchange } from '../helpers/exchange.js'
import { seconds, signWithSecret, startIssuer } from '../helpers/issuer.js'
import { openStream } from '../helpers/sse.js'

// Tokens of a separate issuer: another server signs them and publishes its keys.

const ISSUER = 'https://issuer.example'
const AUDIENCE = 'tidings'
const GOOD = { sub: '42', iss: ISSUER, aud: AUDIENCE }

/** Opens a stream with the token and returns its user, or the refusal. */
async function whoIs(t: Test, url: string, token: string) {
  const stream = await openStream(t, `${url}/v1/stream`, { headers: { Authorization: `Bearer ${token}` } })
  if (stream.status === 200) {
    const first = await stream.next()
    stream.close()
    return { status: 200, type: first.type, ...(JSON.parse(first.data) as { userId?: string; reason?: string }) }
  }
  await stream.ended
  return { status: stream.status, ...(JSON.parse(stream.raw) as { code: string; message: string }) }
}

async function start(t: Test, options: Partial<Config> = {}) {
  const issuer = await startIssuer(t)
  const bounds = { jwtIssuer: ISSUER, jwtAudience: AUDIENCE }
  const { url } = await startApp(t, { jwksUrl: issuer.url, ...bounds, ...options })
  return { issuer, url }
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

t.test('a token of the issuer opens the stream of its sub', async t => {
  const { issuer, url } = await start(t)
  t.match(await whoIs(t, url, await issuer.sign(GOOD)), { status: 200, userId: '42' })
  t.match(await whoIs(t, url, await issuer.sign({ ...GOOD, aud: ['other', AUDIENCE] })), { status: 200, userId: '42' })
})

t.test('what is wrong with a token is said, and nothing of the token', async t => {
  const { issuer, url } = await start(t)
  const stranger = await startIssuer(t)
  const good = await issuer.sign(GOOD)
  const [head, claims, signature] = good.split('.') as [string, string, string]
  const hmacOverPublicKey = createHmac('sha256', issuer.pem)
  const forged = `${part({ alg: 'HS256', kid: 'key-1' })}.${claims}`
  const now = seconds(0)
  const bad: [name: string, token: string, message: RegExp][] = [
    ['expired', await issuer.sign({ ...GOOD, exp: now - 6 }), /expired/],
    ['not valid yet', await issuer.sign({ ...GOOD, nbf: now + 60 }), /not valid yet/],
    ['wrong issuer', await issuer.sign({ ...GOOD, iss: 'https://other.example' }), /iss .*JWT_ISSUER/],
    ['no issuer', await issuer.sign({ sub: '42', aud: AUDIENCE }), /no iss claim/],
    ['wrong audience', await issuer.sign({ ...GOOD, aud: 'other' }), /aud .*JWT_AUDIENCE/],
    ['no audience', await issuer.sign({ sub: '42', iss: ISSUER }), /no aud claim/],
    ['no user', await issuer.sign({ iss: ISSUER, aud: AUDIENCE }), /no sub claim/],
    ['no end', await issuer.sign({ ...GOOD, exp: undefined }), /no exp claim/],
    ['an end far away', await issuer.sign({ ...GOOD, exp: now + 401 * 86_400 }), /longer than 400 days/],
    ['a sub that is no user id', await issuer.sign({ ...GOOD, sub: '4 2\n' }), /sub must be a user id/],
    ['a sub that is no text', await issuer.sign({ ...GOOD, sub: 42 }), /sub/],
    ['a follow that is no list', await issuer.sign({ ...GOOD, tidings: { follow: 'hub' } }), /tidings\.follow/],
    ['a wildcard in the middle', await issuer.sign({ ...GOOD, tidings: { publish: ['a*b'] } }), /tidings\.publish/],
    ['permissions that are no object', await issuer.sign({ ...GOOD, tidings: [] }), /tidings claim/],
    ['none', `${part({ alg: 'none' })}.${claims}.`, /algorithm/],
    ['HS256 over the public key', `${forged}.${hmacOverPublicKey.update(forged).digest('base64url')}`, /algorithm/],
    ['the key of somebody else', await stranger.sign(GOOD), /signature/],
    ['a key that is not published', await issuer.sign(GOOD, { kid: 'unknown' }), /kid/],
    [
      'a critical extension',
      await issuer
        .sign(GOOD, { crit: ['exp'], exp: 1 })
        .catch(() => `${part({ alg: 'ES256', crit: ['x'], x: 1 })}.${claims}.${signature}`),
      /JWT|algorithm/,
    ],
    ['other claims', `${head}.${part({ ...GOOD, sub: '7', exp: now + 60 })}.${signature}`, /signature/],
    ['cut off', good.slice(0, -5), /signature|JWT/],
    ['two parts', `${head}.${claims}`, /JWT/],
    ['no JSON', 'a.b.c', /JWT/],
    ['10,000 characters long', `${good}${'A'.repeat(10_000)}`, /at most 8192/],
  ]
  for (const [name, token, message] of bad) {
    const answer = await whoIs(t, url, token)
    t.match(answer, { status: 401, code: 'TIDINGS_UNAUTHORIZED', message }, name)
    t.notOk(JSON.stringify(answer).includes(token.slice(-12)), `${name}: nothing of it is quoted`)
  }
  t.match(await whoIs(t, url, good), { status: 200, userId: '42' }, 'and the gateway goes on')
})

t.test('a token of 100 KB is refused, in a header and in the URL', async t => {
  const { url } = await start(t)
  const token = 'A'.repeat(100_000)
  const header = `GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`
  t.match(await exchange(t, url, header), /^HTTP\/1\.1 431 /)
  t.match(
    await exchange(t, url, `GET /v1/stream?token=${token} HTTP/1.1\r\nHost: localhost\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  )
})

t.test('clocks may differ by five seconds', async t => {
  const { issuer, url } = await start(t)
  t.match(await whoIs(t, url, await issuer.sign({ ...GOOD, exp: seconds(-3) })), { status: 200 })
  t.match(await whoIs(t, url, await issuer.sign({ ...GOOD, nbf: seconds(4) })), { status: 200 })
})

t.test(
  'a key that the issuer rotated in is found, by one request for many tokens; one rotated out is not taken',
  async t => {
    const { issuer, url } = await start(t)
    const old = await issuer.sign(GOOD)
    t.match(await whoIs(t, url, old), { status: 200 })
    t.equal(issuer.asked, 1)
    await issuer.rotate(true)
    const fresh = await Promise.all(['1', '2', '3', '4', '5'].map(sub => issuer.sign({ ...GOOD, sub })))
    // The gateway looks up unknown keys at most once in ten seconds, and it has just done so.
    t.match(await whoIs(t, url, fresh[0]!), { status: 401, message: /kid/ })
    t.equal(issuer.asked, 1)
    const isTaken = async () => (await whoIs(t, url, fresh[0]!)).status === 200
    await waitFor(isTaken, 15_000, 'unknown keys to be looked up again')
    const answers = await Promise.all(fresh.map(token => whoIs(t, url, token)))
    t.same(
      answers.map(({ status }) => status),
      [200, 200, 200, 200, 200],
    )
    t.equal(issuer.asked, 2)
    const another = await issuer.sign({ ...GOOD, jti: 'another' }, { kid: 'key-1' })
    t.match(await whoIs(t, url, another), { status: 401, message: /kid/ })
    t.equal(issuer.asked, 2, 'a stranger does not make the key server be asked again and again')
  },
)

t.test('known keys serve while the key server is down', async t => {
  const { issuer, url } = await start(t)
  t.match(await whoIs(t, url, await issuer.sign(GOOD)), { status: 200 })
  issuer.fail(true)
  t.match(await whoIs(t, url, await issuer.sign({ ...GOOD, sub: '7' })), { status: 200, userId: '7' })
})

t.test('without any keys a stream is told to come back, and a publish to try again', async t => {
  const issuer = await startIssuer(t)
  issuer.fail(true)
  const { url } = await startApp(t, { jwksUrl: issuer.url })
  const token = await issuer.sign({ sub: '42', tidings: { publish: ['*'] } })
  t.match(await whoIs(t, url, token), { status: 200, type: 'stream.close', reason: 'overloaded' })
  const response = await fetch(`${url}/v1/broadcast`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{"type":"a"}',
  })
  t.equal(response.status, 503)
  t.match(await response.json(), { code: 'TIDINGS_KEYS_UNAVAILABLE' })
  t.ok(Number(response.headers.get('retry-after')) > 0)
})

for (const alg of ['RS256', 'ES256', 'EdDSA'] as const) {
  t.test(`${alg}: a public key verifies, as a PEM and as a file of one, and no other algorithm passes`, async t => {
    const issuer = await startIssuer(t, alg)
    const folder = mkdtempSync(join(tmpdir(), 'tidings-key-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'key.pem')
    writeFileSync(file, issuer.pem)
    for (const jwtPublicKey of [issuer.pem, file, issuer.pem.replaceAll('\n', '\\n')]) {
      const { url } = await startApp(t, { jwtPublicKey })
      t.match(await whoIs(t, url, await issuer.sign({ sub: '42' })), { status: 200, userId: '42' })
      const confused = await signWithSecret(issuer.pem, { sub: '42' })
      t.match(await whoIs(t, url, confused), { status: 401, message: /algorithm/ })
      const other = await startIssuer(t, alg === 'ES256' ? 'EdDSA' : 'ES256')
      t.match(await whoIs(t, url, await other.sign({ sub: '42' })), { status: 401, message: /algorithm/ })
    }
  })
}

t.test('HS256: the secret verifies, another secret and another length of hash do not', async t => {
  const jwtSecret = 'a secret of at least thirty-two characters'
  const { url } = await startApp(t, { jwtSecret })
  t.match(await whoIs(t, url, await signWithSecret(jwtSecret, { sub: '42' })), { status: 200, userId: '42' })
  const other = await signWithSecret(`${jwtSecret}.`, { sub: '42' })
  t.match(await whoIs(t, url, other), { status: 401, message: /signature/ })
  t.match(await whoIs(t, url, await signWithSecret(jwtSecret.repeat(2), { sub: '42' }, 'HS512')), {
    status: 401,
    message: /algorithm/,
  })
})

t.test('keys that must not verify anything are refused at the start', async t => {
  const { privateKey } = generateKeyPairSync('ed25519')
  const { publicKey: short } = generateKeyPairSync('rsa', { modulusLength: 1_024 })
  const { publicKey: curve } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  const pem = { type: 'spki', format: 'pem' } as const
  for (const [jwtPublicKey, message] of [
    [privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), /jwtPublicKey is a private key/],
    [short.export(pem).toString(), /jwtPublicKey is of a kind that is not taken/],
    [curve.export(pem).toString(), /jwtPublicKey is of a kind that is not taken/],
    ['/nowhere/key.pem', /jwtPublicKey is neither a PEM nor a file that can be read \(ENOENT\)/],
    ['-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', /jwtPublicKey is no PEM public key/],
  ] as const) {
    await t.rejects(startApp(t, { jwtPublicKey }), { code: 'TIDINGS_INVALID_CONFIG', message })
  }
})

t.test('a token of another kind opens nothing, though its issuer signed it with the same key', async t => {
  const { issuer, url } = await start(t)
  for (const typ of [undefined, 'JWT', 'jwt', 'at+jwt', 'AT+JWT', 'application/at+jwt', 'application/jwt']) {
    const token = await issuer.sign(GOOD, typ === undefined ? {} : { typ })
    t.match(await whoIs(t, url, token), { status: 200 }, String(typ))
  }
  for (const typ of ['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'token-introspection+jwt', 'refresh', '']) {
    const token = await issuer.sign(GOOD, { typ })
    t.match(await whoIs(t, url, token), { status: 401, message: /typ must be none, JWT or at\+jwt/ }, typ)
  }
  for (const claims of [{ typ: 'Bearer' }, { typ: 'ID' }, { token_use: 'access' }, { type: 'employee' }, { typ: 7 }]) {
    t.match(await whoIs(t, url, await issuer.sign({ ...GOOD, ...claims })), { status: 200 }, JSON.stringify(claims))
  }
  for (const claims of [
    { typ: 'Refresh' },
    { typ: 'Offline' },
    { typ: 'Logout' },
    { typ: 'RegistrationAccessToken' },
    { typ: 'InitialAccessToken' },
    { token_use: 'refresh' },
    { token_type: 'refresh' },
    { type: 'refresh_token' },
  ]) {
    const answer = await whoIs(t, url, await issuer.sign({ ...GOOD, ...claims }))
    t.match(answer, { status: 401, message: /not made for access/ }, JSON.stringify(claims))
  }
})

t.test('JWT_TYPE demands one type of token', async t => {
  const { issuer, url } = await start(t, { jwtType: 'at+jwt' })
  for (const typ of ['at+jwt', 'application/at+jwt']) {
    t.match(await whoIs(t, url, await issuer.sign(GOOD, { typ })), { status: 200 }, typ)
  }
  for (const header of [{}, { typ: 'JWT' }, { typ: 'logout+jwt' }]) {
    t.match(await whoIs(t, url, await issuer.sign(GOOD, header)), { status: 401, message: /JWT_TYPE/ })
  }
})
