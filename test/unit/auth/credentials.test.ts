import t from 'tap'
import { createKeyring, parseApiKeys } from '../../../src/auth/api-keys.js'
import { findCredential } from '../../../src/auth/credentials.js'
import { mintToken } from '../../../src/auth/mint.js'
import { isForeign } from '../../../src/auth/origin.js'
import { covers, createViewer, isPattern, matches, mayFollow, mayManage, mayPublish } from '../../../src/auth/viewer.js'
import { checkOptions, readConfig } from '../../../src/config/check.js'
import { trustOf } from '../../../src/http/trust-proxy.js'

const STREAM = { cookie: 'session', inUrl: true }
const OTHER = { cookie: 'session', inUrl: false }

t.test('a credential on purpose goes before the cookie, and one in the URL counts on the stream only', async t => {
  const all = { authorization: 'Bearer a', 'x-api-key': 'b', cookie: 'session=c' }
  const query = { ticket: 'd', token: 'e' }
  t.same(findCredential(all, query, STREAM), { kind: 'bearer', secret: 'a' })
  t.same(findCredential({ ...all, authorization: undefined }, query, STREAM), { kind: 'api-key', secret: 'b' })
  t.same(findCredential({ cookie: 'session=c' }, query, STREAM), { kind: 'ticket', secret: 'd' })
  t.same(findCredential({ cookie: 'session=c' }, { token: 'e' }, STREAM), { kind: 'url-token', secret: 'e' })
  t.same(findCredential({ cookie: 'session=c' }, query, OTHER), { kind: 'cookie', secret: 'c' })
  t.same(findCredential({}, query, OTHER), { kind: 'none' })
  t.same(findCredential({ cookie: 'session=c' }, {}, { cookie: undefined, inUrl: true }), { kind: 'none' })
})

t.test('a credential that cannot be one is refused, never passed over', async t => {
  for (const authorization of ['Basic a', 'Bearer', 'Bearer ', 'Bearer a b', 'a', '']) {
    t.throws(() => findCredential({ authorization, cookie: 'session=c' }, {}, STREAM), { code: 'TIDINGS_UNAUTHORIZED' })
  }
  for (const query of [{ ticket: ['a', 'b'] }, { ticket: '' }, { token: ['a'] }]) {
    t.throws(() => findCredential({}, query, STREAM), { code: 'TIDINGS_UNAUTHORIZED' })
  }
})

t.test('a cookie is found among others, by its whole name, in or without quotes', async t => {
  const secretIn = (cookie: string) => findCredential({ cookie }, {}, OTHER)
  t.match(secretIn('a=1; session=c; b=2'), { secret: 'c' })
  t.match(secretIn('a=1;session="c=="'), { secret: 'c==' })
  t.match(secretIn('session=first; session=second'), { secret: 'first' })
  for (const cookie of ['xsession=c', 'session', 'session=', 'Session=c', '=c', ';;'])
    t.match(secretIn(cookie), { kind: 'none' })
})

t.test('a trailing * is the only wildcard', async t => {
  t.ok(matches('session:*', 'session:abc'))
  t.ok(matches('*', '*'))
  t.notOk(matches('session:*', 'session'))
  t.notOk(matches('session:abc', 'session:abcd'))
  for (const pattern of ['*', 'a', 'a*', 'user:42', 'a/b.c@d-e_f:*']) t.ok(isPattern(pattern), pattern)
  for (const pattern of ['', 'a*b', '**', 'a b', 'a\n', 'é', 'a'.repeat(201)]) t.notOk(isPattern(pattern), pattern)
  t.ok(covers(['session:*'], 'session:a*'))
  t.ok(covers(['session:*'], 'session:*'))
  t.notOk(covers(['session:a*'], 'session:*'))
  t.notOk(covers(['session:abc'], 'session:abc*'))
  t.ok(covers(['*'], '*'))
})

t.test('a user follows their own room and everyone; a server only what its patterns hold', async t => {
  const user = createViewer({ userId: '42', follow: ['hub'] })
  t.same(
    ['user:42', '*', 'hub', 'user:7', 'hub2'].map(room => mayFollow(user, room)),
    [true, true, true, false, false],
  )
  t.same(
    ['user:42', 'hub'].map(room => mayPublish(user, room)),
    [false, false],
  )
  const server = createViewer({ userId: '42', kind: 'server', follow: ['hub'], publish: ['hub', 'user:7'] })
  t.same(
    ['user:42', '*', 'hub'].map(room => mayFollow(server, room)),
    [false, true, true],
  )
  t.same(
    ['user:7', 'user:42'].map(room => mayManage(server, room)),
    [true, false],
  )
  t.notOk(mayManage(createViewer({ userId: '7', publish: ['*'] }), 'user:7'), 'a user manages nobody')
  t.throws(() => createViewer({ userId: 'a b' }), { code: 'TIDINGS_INVALID_USER' })
})

t.test('API keys are read with their patterns, and nothing of them is kept', async t => {
  const { keys, problems } = parseApiKeys(
    'jobs=key-one-0123456789|session:*|user:*, jobs=key-two-0123456789,root=a=b=c-0123456789',
  )
  t.same(problems, [])
  t.same(
    keys.map(({ name, patterns }) => [name, patterns]),
    [
      ['jobs', ['session:*', 'user:*']],
      ['jobs', ['*']],
      ['root', ['*']],
    ],
  )
  t.notMatch(JSON.stringify(keys), /0123456789/)
  const find = createKeyring(keys)
  t.match(find('key-one-0123456789'), { userId: 'jobs', kind: 'server', publish: ['session:*', 'user:*'] })
  t.match(find('a=b=c-0123456789'), { userId: 'root' })
  for (const presented of ['', 'key-one-012345678', 'key-one-01234567890', 'jobs']) t.equal(find(presented), null)
})

t.test('every bad API key is named by its place, and nothing of it is quoted', async t => {
  const { problems } = parseApiKeys(
    'a=short,b,c d=key-one-0123456789,e=key-two-0123456789|a*b,f=key-\u00e9-0123456789,g=key-six-0123456789,h=key-six-0123456789,',
  )
  t.same(problems, [
    'key 1 has 5 characters behind its name but must have at least 16; it is name=key',
    'key 2 must be name=key, the name of A-Z a-z 0-9 _ . : @ / -',
    'key 3 must be name=key, the name of A-Z a-z 0-9 _ . : @ / -',
    'key 4 has a bad pattern behind bar 1: a pattern is a room, or its beginning and one trailing *; a key has no bars',
    'key 5 must be printable ASCII without spaces, commas and bars',
    'key 7 is the same as a key before it',
    'key 8 must be name=key, the name of A-Z a-z 0-9 _ . : @ / -',
  ])
})

t.test('a key that is the wrong way round, or holds a bar, is not quoted as a name or a pattern', async t => {
  for (const text of [
    's3cret-0123456789=jobs',
    'jobs=s3cret-0123|456 789',
    'jobs=a-key-0123456789|session:*|s3cret*0123456789',
    's3cret-0123456789',
    's3cret 0123456789=0123456789abcdef',
  ]) {
    const { problems } = parseApiKeys(text)
    t.equal(problems.length, 1, text)
    t.match(problems[0], /^key 1 /)
    t.notMatch(problems[0], /s3cret|jobs|session|456/)
  }
})

t.test('bad credentials in the configuration are all reported at once, by variable', async t => {
  const env = { API_KEYS: 'a=short', JWT_PUBLIC_KEY: '/nowhere.pem', TRUST_PROXY: 'proxy.example', HOST: '127.0.0.1' }
  t.throws(() => readConfig(env), {
    message: /API_KEYS: key 1 has 5.*JWT_PUBLIC_KEY is neither a PEM.*TRUST_PROXY is 'proxy\.example'/s,
  })
  t.throws(() => checkOptions({ jwtSecret: 'short' }), { message: /^(?!.*short)/ })
})

t.test('TRUST_PROXY is a yes, a no, hops, or addresses and ranges', async t => {
  for (const text of ['10.0.0.0/8', '127.0.0.1, ::1', 'loopback', '2001:db8::/32']) t.equal(trustOf(text), text)
  t.equal(trustOf('true'), true)
  t.equal(trustOf('false'), false)
  const hops = trustOf('2')
  t.same(typeof hops === 'function' && [0, 1, 2].map(hop => hops('192.0.2.1', hop)), [true, true, false])
  for (const text of ['yes', '10.0.0.0/33', '10.0.0', '1000', '::1/129', 'a.example'])
    t.equal(trustOf(text), null, text)
})

t.test('foreign is a page that its browser says is of another site', async t => {
  const listed = ['https://app.example']
  t.notOk(isForeign({}, 'gateway.example', listed), 'a program says nothing')
  t.notOk(isForeign({ origin: 'https://app.example' }, 'gateway.example', listed))
  t.notOk(isForeign({ origin: 'https://gateway.example' }, 'gateway.example', listed))
  t.notOk(isForeign({ 'sec-fetch-site': 'same-site' }, 'gateway.example', listed))
  for (const origin of [
    'https://evil.example',
    'null',
    'https://app.example.evil',
    'https://gateway.example:8443',
    '',
  ]) {
    t.ok(isForeign({ origin }, 'gateway.example', listed), origin)
  }
  t.ok(isForeign({ 'sec-fetch-site': 'cross-site' }, 'gateway.example', listed))
})

t.test('a minted token says who, what and until when', async t => {
  const token = await mintToken({
    secret: 'x'.repeat(32),
    sub: '42',
    follow: ['session:*'],
    ttlSeconds: 60,
    issuer: 'i',
    audience: 'a',
  })
  const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
  t.match(claims, { sub: '42', iss: 'i', aud: 'a', tidings: { follow: ['session:*'], publish: [] } })
  t.equal(claims.exp - claims.iat, 60)
})
