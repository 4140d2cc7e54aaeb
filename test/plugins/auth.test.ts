import t, { type Test } from 'tap'
import { startApp } from '../helpers/app.js'
import { exchange } from '../helpers/exchange.js'
import { seconds, signWithSecret } from '../helpers/issuer.js'

// A table of credential, action and room. Every cell is a request to a real server, with the expected answer.

const SECRET = 'a secret of at least thirty-two characters'
const ROOT = 'root-key-0123456789'
const JOBS = 'jobs-key-0123456789'
const ORIGIN = 'https://app.example'
const OPTIONS = {
  jwtSecret: SECRET,
  apiKeys: `root=${ROOT},root=rotated-${ROOT},jobs=${JOBS}|session:*|user:42`,
  authCookie: 'session',
  corsOrigins: [ORIGIN],
}
const CLAIMS = { sub: '42', tidings: { follow: ['session:*', 'team:{sub}'], publish: ['session:42', 'desk:{sub}:*'] } }

/** The place of a credential: in headers, or in the query of the stream's URL. */
interface Presented {
  readonly headers?: Record<string, string>
  readonly query?: string
}

const ROOMS = ['user:42', 'user:7', 'session:42', 'session:abc', 'team:42', 'team:7', 'desk:42:a', 'hub', '*']
const NOBODY = '401 401 401 401 401 401 401 401 401'
const OWN_AND_SESSIONS = '200 403 200 200 200 403 403 403 200'
const ONLY_THEIRS = '403 403 202 403 403 403 202 403 403'
const ALL_FOLLOWED = '200 200 200 200 200 200 200 200 200'
const ALL_PUBLISHED = '202 202 202 202 202 202 202 202 202'

// One row per credential. `follow` and `publish` have an answer for each of ROOMS. `manage` has answers for five calls: make a ticket
// for user 42, make one for user 7, end the streams of user 42, end those of user 7, end a stream by its id.
const TABLE: Record<
  string,
  { present: () => Promise<Presented> | Presented; follow: string; publish: string; manage: string }
> = {
  'no credential': { present: () => ({}), follow: NOBODY, publish: NOBODY, manage: '401 401 401 401 401' },
  'a token in the Authorization header': {
    present: async () => bearer(await signWithSecret(SECRET, CLAIMS)),
    follow: OWN_AND_SESSIONS,
    publish: ONLY_THEIRS,
    manage: '403 403 403 403 403',
  },
  'a token in the URL, which only the stream takes': {
    present: async () => ({ query: `token=${await signWithSecret(SECRET, CLAIMS)}` }),
    follow: OWN_AND_SESSIONS,
    publish: NOBODY,
    manage: '401 401 401 401 401',
  },
  'a token in the cookie, from a listed origin': {
    present: async () => ({
      headers: { cookie: `a=b; session=${await signWithSecret(SECRET, CLAIMS)}`, origin: ORIGIN },
    }),
    follow: OWN_AND_SESSIONS,
    publish: ONLY_THEIRS,
    manage: '403 403 403 403 403',
  },
  'a token in the cookie, from nowhere said': {
    present: async () => ({ headers: { cookie: `session=${await signWithSecret(SECRET, CLAIMS)}` } }),
    follow: OWN_AND_SESSIONS,
    publish: '403 403 403 403 403 403 403 403 403',
    manage: '403 403 403 403 403',
  },
  'a token in the cookie, from another origin': {
    present: async () => ({
      headers: { cookie: `session=${await signWithSecret(SECRET, CLAIMS)}`, origin: 'https://evil.example' },
    }),
    follow: '403 403 403 403 403 403 403 403 403',
    publish: '403 403 403 403 403 403 403 403 403',
    manage: '403 403 403 403 403',
  },
  'a token in a cookie of another name': {
    present: async () => ({ headers: { cookie: `other=${await signWithSecret(SECRET, CLAIMS)}`, origin: ORIGIN } }),
    follow: NOBODY,
    publish: NOBODY,
    manage: '401 401 401 401 401',
  },
  'a token without permissions': {
    present: async () => bearer(await signWithSecret(SECRET, { sub: '42' })),
    follow: '200 403 403 403 403 403 403 403 200',
    publish: '403 403 403 403 403 403 403 403 403',
    manage: '403 403 403 403 403',
  },
  'an expired token beside a good cookie': {
    present: async () => ({
      headers: {
        authorization: `Bearer ${await signWithSecret(SECRET, { ...CLAIMS, exp: seconds(-60) })}`,
        cookie: `session=${await signWithSecret(SECRET, CLAIMS)}`,
        origin: ORIGIN,
      },
    }),
    follow: NOBODY,
    publish: NOBODY,
    manage: '401 401 401 401 401',
  },
  'an API key in the Authorization header': {
    present: () => ({ ...bearer(ROOT), query: 'user=42' }),
    follow: ALL_FOLLOWED,
    publish: ALL_PUBLISHED,
    manage: '201 201 200 200 200',
  },
  'an API key in X-API-Key': {
    present: () => ({ headers: { 'x-api-key': ROOT }, query: 'user=42' }),
    follow: ALL_FOLLOWED,
    publish: ALL_PUBLISHED,
    manage: '201 201 200 200 200',
  },
  'the other API key of the same name': {
    present: () => ({ ...bearer(`rotated-${ROOT}`), query: 'user=42' }),
    follow: ALL_FOLLOWED,
    publish: ALL_PUBLISHED,
    manage: '201 201 200 200 200',
  },
  'an API key with patterns': {
    present: () => ({ ...bearer(JOBS), query: 'user=42' }),
    follow: '200 403 200 200 403 403 403 403 200',
    publish: '202 403 202 202 403 403 403 403 403',
    manage: '201 403 200 403 403',
  },
  'an API key with patterns, in the name of a user outside them': {
    present: () => ({ ...bearer(JOBS), query: 'user=7' }),
    follow: '403 403 403 403 403 403 403 403 403',
    publish: '202 403 202 202 403 403 403 403 403',
    manage: '201 403 200 403 403',
  },
  'an API key that does not say in whose name it reads': {
    present: () => bearer(ROOT),
    follow: '400 400 400 400 400 400 400 400 400',
    publish: ALL_PUBLISHED,
    manage: '201 201 200 200 200',
  },
  'an API key in the URL or the cookie': {
    present: () => ({ query: `token=${ROOT}&user=42`, headers: { cookie: `session=${ROOT}`, origin: ORIGIN } }),
    follow: NOBODY,
    publish: NOBODY,
    manage: '401 401 401 401 401',
  },
  'an API key that nobody has': {
    present: () => bearer(`${ROOT}9`),
    follow: NOBODY,
    publish: NOBODY,
    manage: '401 401 401 401 401',
  },
  'a password': {
    present: () => ({ headers: { authorization: 'Basic cm9vdDpyb290' } }),
    follow: NOBODY,
    publish: NOBODY,
    manage: '401 401 401 401 401',
  },
  'a ticket that nobody made': {
    present: () => ({ query: 'ticket=tkt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }),
    follow: NOBODY,
    publish: NOBODY,
    manage: '401 401 401 401 401',
  },
}

function bearer(secret: string): Presented {
  return { headers: { authorization: `Bearer ${secret}` } }
}

/** Returns the status of the answer. It checks the code of a refusal, and leaves the body of a stream unread. */
async function statusOf(t: Test, url: string, init: RequestInit): Promise<number> {
  const cut = new AbortController()
  const response = await fetch(url, { ...init, signal: cut.signal })
  if (response.status >= 400) {
    const body = await response.json()
    t.match(body, { statusCode: response.status, code: /^TIDINGS_[A-Z_]+$/, message: /.{20}/ })
  }
  cut.abort()
  return response.status
}

const publishTo = (url: string, room: string, headers: Record<string, string> = {}): [string, RequestInit] => [
  `${url}/v1/rooms/${encodeURIComponent(room)}/events`,
  { method: 'POST', body: '{"type":"tick"}', headers: { 'content-type': 'application/json', ...headers } },
]

for (const [name, { present, follow, publish, manage }] of Object.entries(TABLE)) {
  t.test(`${name}: who may do what`, async t => {
    const { url } = await startApp(t, OPTIONS)
    const { headers = {}, query = '' } = await present()
    const followed: number[] = []
    const published: number[] = []
    for (const room of ROOMS) {
      followed.push(await statusOf(t, `${url}/v1/stream?rooms=${room}&${query}`, { headers }))
      published.push(await statusOf(t, ...publishTo(url, room, headers)))
    }
    t.equal(followed.join(' '), follow, 'follow')
    t.equal(published.join(' '), publish, 'publish')
    const ticketFor = (userId: string) =>
      statusOf(t, `${url}/v1/tickets?${query}`, {
        method: 'POST',
        body: JSON.stringify({ userId }),
        headers: { 'content-type': 'application/json', ...headers },
      })
    const remove = (path: string) => statusOf(t, `${url}${path}?${query}`, { method: 'DELETE', headers })
    const managed = [
      await ticketFor('42'),
      await ticketFor('7'),
      await remove('/v1/users/42/connections'),
      await remove('/v1/users/7/connections'),
      await remove('/v1/connections/0b3f'),
    ]
    t.equal(managed.join(' '), manage, 'manage')
  })
}

t.test('a ticket follows its rooms, publishes nothing, and is taken by nothing but the stream', async t => {
  const { url } = await startApp(t, OPTIONS)
  const make = async () => {
    const body = JSON.stringify({ userId: '42', follow: ['session:abc', 'team:*'] })
    const headers = { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' }
    const response = await fetch(`${url}/v1/tickets`, { method: 'POST', body, headers })
    t.equal(response.headers.get('cache-control'), 'no-store')
    t.equal(response.headers.get('referrer-policy'), 'no-referrer')
    return ((await response.json()) as { ticket: string }).ticket
  }
  const followed: number[] = []
  for (const room of ROOMS)
    followed.push(await statusOf(t, `${url}/v1/stream?rooms=${room}&ticket=${await make()}`, {}))
  t.equal(followed.join(' '), '200 403 403 200 200 200 403 403 200')
  const ticket = await make()
  for (const place of [`?ticket=${ticket}`, `?token=${ticket}`]) {
    const [path, init] = publishTo(url, 'user:42')
    t.equal(await statusOf(t, path + place, init), 401)
  }
  t.equal(await statusOf(t, `${url}/v1/stream?token=${ticket}`, {}), 401)
  t.equal(await statusOf(t, `${url}/v1/stream`, { headers: { authorization: `Bearer ${ticket}` } }), 401)
})

t.test('a key cannot hand out more than it may do itself', async t => {
  const { url } = await startApp(t, OPTIONS)
  const ask = async (follow: string[]) => {
    const headers = { authorization: `Bearer ${JOBS}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ userId: '42', follow })
    return statusOf(t, `${url}/v1/tickets`, { method: 'POST', body, headers })
  }
  t.equal(await ask(['session:*']), 201)
  t.equal(await ask(['session:abc', 'session:a*']), 201)
  t.equal(await ask(['session*']), 403)
  t.equal(await ask(['*']), 403)
  t.equal(await ask(['user:42']), 201)
  t.equal(await ask(['user:4*']), 403)
})

t.test('a ticket request that is wrong says what is', async t => {
  const { url } = await startApp(t, OPTIONS)
  const ask = async (body: string) => {
    const headers = { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' }
    const response = await fetch(`${url}/v1/tickets`, { method: 'POST', body, headers })
    return { status: response.status, body: await response.json() }
  }
  for (const [body, expected] of [
    ['{"userId":"a b"}', { code: 'TIDINGS_INVALID_USER', message: /'a b'/ }],
    ['{}', { code: 'TIDINGS_INVALID_BODY', message: /userId/ }],
    ['{"userId":"1","ttl":0}', { code: 'TIDINGS_INVALID_BODY', message: /ttl/ }],
    ['{"userId":"1","ttl":43201}', { code: 'TIDINGS_INVALID_BODY', message: /ttl/ }],
    ['{"userId":"1","follow":"a"}', { code: 'TIDINGS_INVALID_BODY', message: /follow/ }],
    ['{"userId":"1","follow":["a*b"]}', { code: 'TIDINGS_INVALID_BODY', message: /'a\*b'/ }],
    ['{"userId":"1","rooms":[]}', { code: 'TIDINGS_INVALID_BODY', message: /rooms/ }],
    ['{', { code: 'TIDINGS_INVALID_REQUEST' }],
    ['', { code: 'TIDINGS_INVALID_REQUEST' }],
  ] as const) {
    t.match(await ask(body), { status: 400, body: expected }, body)
  }
})

t.test('probes, metrics and the description of the API need no credential', async t => {
  const { url } = await startApp(t, OPTIONS)
  for (const path of ['/livez', '/readyz', '/metrics', '/openapi.json', '/docs']) {
    t.equal((await fetch(`${url}${path}`)).status, 200, path)
  }
})

t.test('without a credential a request is refused before its body is read', async t => {
  const { url } = await startApp(t, OPTIONS)
  const head =
    'POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n'
  // The body never comes, so only an answer that does not wait for it can arrive.
  const answer = await exchange(t, url, head, /\r\n\r\n/)
  t.match(answer, /^HTTP\/1\.1 401 /)
  t.match(answer, /www-authenticate: Bearer realm="tidings"/)
})
