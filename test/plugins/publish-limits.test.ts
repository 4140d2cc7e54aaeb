import t, { type Test } from 'tap'
import type { Config } from '../../src/config/config.js'
import { post, startApp } from '../helpers/app.js'
import { signWithSecret } from '../helpers/issuer.js'
import { openStream } from '../helpers/sse.js'

const SECRET = 'a secret of at least thirty-two characters'
const ROOT = 'key-of-the-operator'
const NARROW = 'key-of-a-narrow-one'

async function start(t: Test, options: Partial<Config> = {}) {
  const apiKeys = `root=${ROOT},jobs=${NARROW}|session:*`
  const { url, app } = await startApp(t, { jwtSecret: SECRET, apiKeys, ...options })
  const headersOf = (key: string) => ({ 'content-type': 'application/json', authorization: `Bearer ${key}` })
  return {
    url,
    app,
    one: (key: string, room = 'session:a') => post(`${url}/v1/rooms/${room}/events`, '{"type":"a"}', headersOf(key)),
    batch: (key: string, count: number, roomOf: (n: number) => string) =>
      post(
        `${url}/v1/events`,
        JSON.stringify(Array.from({ length: count }, (_, n) => item(roomOf(n)))),
        headersOf(key),
      ),
    ticket: (key: string) => post(`${url}/v1/tickets`, '{"userId":"42"}', headersOf(key)),
    remove: async (key: string, path: string) => {
      const response = await fetch(`${url}${path}`, { method: 'DELETE', headers: { authorization: `Bearer ${key}` } })
      await response.body?.cancel()
      return response.status
    },
  }
}

const item = (to: string) => ({ to, type: 'a', data: 1 })

t.test('a batch counts as many as it holds: it passes once, and its debt is waited out', async t => {
  const { one, batch } = await start(t, { rateLimitPublish: 10 })
  t.equal((await batch(ROOT, 1_000, () => 'hub')).status, 202)
  const refused = await one(ROOT)
  t.match(refused, { status: 429, body: { statusCode: 429, code: 'TIDINGS_RATE_LIMITED' } })
  const retryAfterS = Number(refused.headers.get('retry-after'))
  t.ok(retryAfterS > 80 && retryAfterS <= 100, `${retryAfterS} s, for 1,000 events at 10 a second`)
  t.match(
    refused.body.message,
    /^more than 10 events within a second \(RATE_LIMIT_PUBLISH=10\) by 'root'; try again in \d+ s$/,
  )
  t.equal((await one(NARROW)).status, 202, 'the others have theirs')
})

t.test('many batches at the same time do not pass together', async t => {
  const { batch } = await start(t, { rateLimitPublish: 100 })
  const answers = await Promise.all(Array.from({ length: 20 }, () => batch(ROOT, 1_000, () => 'hub')))
  t.equal(answers.filter(({ status }) => status === 202).length, 1)
  t.equal(answers.filter(({ status }) => status === 429).length, 19)
})

t.test('making tickets and ending access count as events', async t => {
  const { ticket, remove } = await start(t, { rateLimitPublish: 3 })
  t.equal((await ticket(ROOT)).status, 201)
  t.equal(await remove(ROOT, '/v1/users/42/connections'), 200)
  t.equal(await remove(ROOT, '/v1/connections/x'), 200)
  t.match(await ticket(ROOT), { status: 429, body: { message: /RATE_LIMIT_PUBLISH=3/ } })
  for (const path of ['/v1/users/42/connections', '/v1/connections/x', '/v1/tickets/tkt_x']) {
    t.equal(await remove(ROOT, path), 429, path)
  }
})

t.test('59 batches of 1,000 new rooms by one narrow publisher do not fill the bus', async t => {
  const { app, url, batch, one } = await start(t)
  const token = await signWithSecret(SECRET, { sub: '7', tidings: { publish: ['session:*'] } })
  for (const [who, name] of [
    [NARROW, 'jobs'],
    [token, '7'],
  ] as const) {
    const answers = []
    for (let n = 0; n < 59; n++) answers.push(await batch(who, 1_000, i => `session:${name}:${n}:${i}`))
    const passed = answers.filter(({ status }) => status === 202).length
    t.ok(passed >= 3 && passed <= 8, `${passed} of 59`)
    const refused = answers.at(-1)!
    t.match(refused, { status: 429, body: { code: 'TIDINGS_RATE_LIMITED' } })
    t.match(
      refused.body.message,
      new RegExp(
        `^more than 3000 new rooms within a minute \\(RATE_LIMIT_ROOMS=3000\\) by '${name}'; try again in \\d+ s$`,
      ),
    )
    t.ok(Number(refused.headers.get('retry-after')) >= 1)
  }
  t.equal((await one(ROOT)).status, 202)
  for (let n = 0; n < 5; n++) t.equal((await batch(ROOT, 1_000, i => `session:root:${n}:${i}`)).status, 202)
  t.match(
    await (await fetch(`${url}/metrics`)).text(),
    /tidings_rate_limited_total\{reason="rooms"\} 1\d\d\n/,
    'and the refusals are counted',
  )
  t.ok(app.tidings.counts.published < 20_000)
})

t.test('rooms that are known, and ephemeral events, begin none', async t => {
  const { batch, one } = await start(t, { rateLimitRooms: 10 })
  t.equal((await batch(NARROW, 10, n => `session:${n}`)).status, 202)
  t.equal((await one(NARROW)).status, 429)
  const other = await start(t, { rateLimitRooms: 11 })
  t.equal((await other.batch(NARROW, 10, n => `session:${n}`)).status, 202)
  for (let round = 0; round < 20; round++) {
    t.equal((await other.batch(NARROW, 10, n => `session:${n}`)).status, 202)
  }
})

t.test('a normal application never meets the defaults: 2,000 events a second, 1,000 new rooms', async t => {
  const { batch, url } = await start(t)
  const startedAt = performance.now()
  for (let n = 0; n < 60; n++) {
    // 100 events every 50 ms, like an application's timer.
    await waitUntil(startedAt + n * 50)
    const { status } = await batch(NARROW, 100, i => `session:${(n * 100 + i) % 1_000}`)
    if (status !== 202) t.fail(`batch ${n} was answered ${status}`)
  }
  const token = await signWithSecret(SECRET, { sub: '42' })
  for (let n = 0; n < 30; n++) {
    const stream = await openStream(t, `${url}/v1/stream?token=${token}`)
    t.equal((await stream.next()).type, 'stream.open')
    stream.close()
  }
})

t.test('in open mode, which is for this machine, only a limit that was chosen holds', async t => {
  const { url } = await startApp(t)
  const body = JSON.stringify(Array.from({ length: 1_000 }, (_, n) => item(`room:${n}`)))
  for (let n = 0; n < 15; n++) t.equal((await post(`${url}/v1/events`, body)).status, 202)
  const chosen = await startApp(t, { rateLimitPublish: 10 })
  t.equal((await post(`${chosen.url}/v1/events`, body)).status, 202)
  const refused = await post(`${chosen.url}/v1/events`, body)
  t.match(refused, { status: 429, body: { message: /RATE_LIMIT_PUBLISH=10\) by '127\.0\.0\.1'/ } })
})

t.test('a server that may publish to every user begins a room for each of them, whatever else it may', async t => {
  const apiKeys = `mailer=${NARROW}|session:*|user:*,jobs=key-of-narrow-jobs|session:*|user:4*`
  const { url } = await startApp(t, { apiKeys })
  const batchAs = (key: string, round: number) =>
    post(`${url}/v1/events`, JSON.stringify(Array.from({ length: 1_000 }, (_, n) => item(`user:4${round}-${n}`))), {
      'content-type': 'application/json',
      authorization: `Bearer ${key}`,
    })
  for (let round = 0; round < 6; round++) t.equal((await batchAs(NARROW, round)).status, 202, `round ${round}`)
  const statuses = []
  for (let round = 10; round < 16; round++) statuses.push((await batchAs('key-of-narrow-jobs', round)).status)
  t.ok(statuses.includes(429), statuses.join())
})

t.test('0 is no limit', async t => {
  const { batch } = await start(t, { rateLimitPublish: 0, rateLimitRooms: 0 })
  for (let n = 0; n < 15; n++) t.equal((await batch(NARROW, 1_000, i => `session:${n}:${i}`)).status, 202)
})

t.test('a stream that is refused for its rate is told which limit it was', async t => {
  const { url } = await start(t, { rateLimitConnect: 1 })
  const token = await signWithSecret(SECRET, { sub: '42' })
  t.equal((await (await openStream(t, `${url}/v1/stream?token=${token}`)).next()).type, 'stream.open')
  const { data } = await (await openStream(t, `${url}/v1/stream?token=${token}`)).next('stream.close')
  t.match(JSON.parse(data), {
    reason: 'overloaded',
    reconnect: true,
    message: "more than 1 new streams within a minute (RATE_LIMIT_CONNECT=1) by '42'; try again in 60 s",
  })
})

function waitUntil(time: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, Math.max(0, time - performance.now())))
}
