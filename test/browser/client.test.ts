import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import type { Page } from 'playwright-core'
import t from 'tap'
import { type TidingsOptions, tidings } from '../../src/app.js'
import { mintToken } from '../../src/auth/mint.js'
import type { StreamEnd, StreamStatus } from '../../src/client/client.js'
import { waitFor } from '../helpers/deadline.js'
import type { Owner } from '../helpers/scope.js'
import { openBrowser, openPage } from './helpers.js'

const CLIENT = readFileSync(new URL('../../src/client/client.js', import.meta.url), 'utf8')
const SECRET = '0123456789abcdef0123456789abcdef'
const DEADLINE_MS = 30_000

// `watch(options)` opens a stream with the client and records every callback.
const PAGE = `<!doctype html><script type="module">
import { connect } from '/client.js'
window.watch = options => {
  const seen = { events: [], opens: [], ends: [], gaps: [], statuses: [], credentials: 0 }
  const token = async () => {
    seen.credentials++
    return (await fetch(options.tokenUrl)).text()
  }
  const stream = connect({
    url: '/v1/stream', types: ['tick'], ...options, ...(options.tokenUrl ? { token } : {}),
    onEvent: event => seen.events.push(JSON.parse(event.data)),
    onOpen: open => seen.opens.push(open.resumed),
    onGap: gap => seen.gaps.push(gap.reason),
    onClose: end => seen.ends.push(end),
    onStatus: status => seen.statuses.push(status),
  })
  Object.assign(window, { stream, seen })
}
</script>`

interface Seen {
  readonly events: number[]
  readonly opens: (boolean | null)[]
  readonly ends: StreamEnd[]
  readonly gaps: string[]
  readonly statuses: StreamStatus[]
  readonly credentials: number
}

async function startSite(owner: Owner, options: TidingsOptions = {}) {
  const app = Fastify({ forceCloseConnections: true })
  const site = { app, url: '', broken: 0 }
  app.addHook('onRequest', async (request, reply) => {
    // Answers as a proxy does while its replicas are replaced.
    if (request.url.startsWith('/v1/stream') && site.broken-- > 0) return reply.code(502).send('bad gateway')
  })
  await app.register(tidings, { drainWindowMs: 0, ...options })
  app.get('/', async (_, reply) => reply.type('text/html').send(PAGE))
  app.get('/client.js', async (_, reply) => reply.type('text/javascript').send(CLIENT))
  app.get('/token', () => mintToken({ secret: SECRET, sub: '42', ttlSeconds: 3 }))
  app.get('/no-token', async () => 'nonsense')
  owner.teardown(() => app.close())
  site.url = await app.listen({ host: '127.0.0.1', port: 0 })
  return site
}

const browser = await openBrowser(t)

async function openSite(url: string) {
  const { page } = await openPage(browser)
  await page.goto(url)
  return page
}

const watch = (page: Page, options: object) => page.evaluate(`watch(${JSON.stringify(options)})`)
// Safe: the page above sets it.
const seenBy = async (page: Page) => (await page.evaluate('window.seen')) as Seen
const until = (page: Page, done: (seen: Seen) => boolean, what: string) =>
  waitFor(async () => done(await seenBy(page)), DEADLINE_MS, what)

t.test('a page that remembers its position gets, after a reload, exactly what it missed meanwhile', async t => {
  const { app, url } = await startSite(t)
  const page = await openSite(url)
  const options = { user: '42', rooms: ['hub'], remember: 'position' }
  await watch(page, options)
  await until(page, ({ opens }) => opens.length === 1, 'the stream to open')
  for (const data of [1, 2]) await app.tidings.publish('hub', { type: 'tick', data })
  await until(page, ({ events }) => events.length === 2, 'two events')
  await page.goto('about:blank')
  for (const data of [3, 4]) await app.tidings.emit('42', { type: 'tick', data })
  await page.goto(url)
  await watch(page, options)
  await until(page, ({ events }) => events.length === 2, 'what was missed')
  await app.tidings.broadcast({ type: 'tick', data: 5 })
  await until(page, ({ events }) => events.length === 3, 'a live event')
  const { events, opens, statuses } = await seenBy(page)
  t.same(events, [3, 4, 5])
  t.same(opens, [true])
  t.same(statuses, ['open'])
})

t.test('tokens that end are renewed before or after their end, without a hole or a duplicate', async t => {
  const { app, url } = await startSite(t, { jwtSecret: SECRET })
  const page = await openSite(url)
  await watch(page, { tokenUrl: '/token' })
  await until(page, ({ opens }) => opens.length === 1, 'the stream to open')
  let count = 0
  const publishing = setInterval(() => void app.tidings.emit('42', { type: 'tick', data: count++ }), 20)
  t.teardown(() => clearInterval(publishing))
  await until(page, ({ opens }) => opens.length >= 4, 'three renewals')
  clearInterval(publishing)
  await until(page, ({ events }) => events.length >= count, 'the last event')
  const { events, opens, credentials, ends } = await seenBy(page)
  t.same(events, [...Array(count).keys()])
  t.same(opens[0], null)
  t.ok(
    opens.slice(1).every(resumed => resumed === true),
    'every renewal resumed',
  )
  t.ok(credentials >= opens.length)
  t.same(
    ends.filter(end => !end.reconnect),
    [],
  )
})

t.test('what the server ends for good stays ended, and says why', async t => {
  const { app, url } = await startSite(t)
  const page = await openSite(url)
  await watch(page, { user: '42' })
  await until(page, ({ opens }) => opens.length === 1, 'the stream to open')
  for (const connection of app.tidings.connections) app.tidings.disconnect(connection, 'revoked', 10)
  await until(page, ({ ends }) => ends.length === 1, 'the end')
  const { ends, statuses } = await seenBy(page)
  t.same(ends, [{ reason: 'revoked', reconnect: false }])
  t.same(statuses, ['open', 'closed'])
  t.equal(await page.evaluate('stream.status'), 'closed')
})

t.test('a stream that the server ends for now comes back by itself', async t => {
  const { app, url } = await startSite(t)
  const page = await openSite(url)
  await watch(page, { user: '42' })
  await until(page, ({ opens }) => opens.length === 1, 'the stream to open')
  for (const connection of app.tidings.connections) app.tidings.disconnect(connection, 'max-age', 10)
  await app.tidings.emit('42', { type: 'tick', data: 1 })
  await until(page, ({ events }) => events.length === 1, 'the event of the meantime')
  const { ends, opens } = await seenBy(page)
  t.same(ends, [{ reason: 'max-age', reconnect: true }])
  t.same(opens, [null, true])
})

t.test('an error status, which ends a bare EventSource for good, is tried again until the gateway is back', async t => {
  const site = await startSite(t)
  site.broken = 2
  const page = await openSite(site.url)
  await watch(page, { user: '42' })
  await until(page, ({ opens }) => opens.length === 1, 'the stream to open')
  t.same((await seenBy(page)).statuses, ['waiting', 'connecting', 'waiting', 'connecting', 'open'])
})

t.test('a credential that is refused again and again ends it as refused', async t => {
  const { url } = await startSite(t, { jwtSecret: SECRET })
  const page = await openSite(url)
  await watch(page, { tokenUrl: '/no-token', maxRefusals: 2 })
  await until(page, ({ ends }) => ends.length === 1, 'the end')
  const { ends, credentials } = await seenBy(page)
  t.same(ends, [{ reason: 'refused', reconnect: false }])
  t.equal(credentials, 2)
})

t.test('close() ends it for good', async t => {
  const { app, url } = await startSite(t)
  const page = await openSite(url)
  await watch(page, { user: '42' })
  await until(page, ({ opens }) => opens.length === 1, 'the stream to open')
  await page.evaluate('stream.close(), stream.close()')
  await waitFor(() => app.tidings.connections.size === 0, DEADLINE_MS, 'the connection to go')
  t.same((await seenBy(page)).ends, [{ reason: 'stopped', reconnect: false }])
})
