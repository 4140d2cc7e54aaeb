import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { post } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'
import { signWithSecret } from '../helpers/issuer.js'
import { startRedis } from '../helpers/redis.js'
import { openBrowser, openPage } from './helpers.js'

// A real browser opens streams from a page of another origin: with a cookie, with a ticket, and with neither.

t.setTimeout(120_000)

const SECRET = 'a secret of at least thirty-two characters'
const KEY = 'root-key-0123456789'
const AS_SERVER = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }

// Collects the events of an EventSource in `seen`, until the EventSource gives up.
const PAGE = `<!doctype html><script>
  const seen = []
  function follow(url, options) {
    const source = new EventSource(url, options)
    for (const type of ['stream.open', 'stream.close', 'tick'])
      source.addEventListener(type, event => seen.push(type + ' ' + event.data))
    source.onerror = () => seen.push(source.readyState === 2 ? 'gave up' : 'lost')
  }
</script>`

/** Starts an application of another origin, which serves one page. */
async function startApplication(t: Test): Promise<string> {
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  // Safe: a server that listens on TCP has such an address.
  return `http://localhost:${(server.address() as AddressInfo).port}`
}

async function start(t: Test) {
  const [browser, redis, listed, other] = await Promise.all([
    openBrowser(t),
    startRedis(t),
    startApplication(t),
    startApplication(t),
  ])
  const env = {
    JWT_SECRET: SECRET,
    API_KEYS: `root=${KEY}`,
    AUTH_COOKIE: 'session',
    CORS_ORIGINS: listed,
    SSE_ADAPTER: 'redis',
    REDIS_URL: redis.url,
    DRAIN_WINDOW_MS: '0',
  }
  const gateway = await startGateway(t, env, { until: 'ready' })
  const { page, context } = await openPage(browser)
  return { gateway, page, context, listed, other }
}

async function makeTicket({ url }: Gateway): Promise<string> {
  const { body } = await post(`${url}/v1/tickets`, '{"userId":"42"}', AS_SERVER)
  return String(body.ticket)
}

const follow = (page: Page, url: string, withCredentials = false) =>
  page.evaluate(`follow(${JSON.stringify(url)}, { withCredentials: ${withCredentials} })`)

const seenOn = async (page: Page) => (await page.evaluate('seen')) as string[] // the page puts only strings in it

const untilSeen = (page: Page, pattern: RegExp, ms = 10_000) =>
  waitFor(async () => (await seenOn(page)).find(each => pattern.test(each)), ms, `the page to see ${pattern}`)

t.test('a page of a listed origin reads with the cookie, and publishes with it', async t => {
  const { gateway, page, context, listed, other } = await start(t)
  const token = await signWithSecret(SECRET, { sub: '42', tidings: { publish: ['user:42'] } })
  // Same site, other origin: the browser sends the host's cookie when the page asks for that.
  const url = gateway.url.replace('127.0.0.1', 'localhost')
  await context.addCookies([
    { name: 'session', value: token, domain: 'localhost', path: '/', httpOnly: true, sameSite: 'Lax' },
  ])
  await page.goto(listed)
  await follow(page, `${url}/v1/stream`, true)
  t.match(await untilSeen(page, /^stream\.open/), /"userId":"42"/)
  const publish = (type: string) =>
    page.evaluate(`fetch(${JSON.stringify(`${url}/v1/users/42/events`)}, {
      method: 'POST', credentials: 'include', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: ${JSON.stringify(type)}, data: 'from the page' }),
    }).then(response => response.status, () => 'refused by the browser')`)
  t.equal(await publish('tick'), 202)
  await untilSeen(page, /^tick from the page/)

  await page.goto(other)
  await follow(page, `${url}/v1/stream`, true)
  t.equal(await untilSeen(page, /./), 'gave up', 'a page of another origin reads nothing with the same cookie')
  t.equal(await publish('tick'), 'refused by the browser')
})

t.test('a page with neither cookie nor ticket gets nothing, and EventSource gives up', async t => {
  const { gateway, page, listed } = await start(t)
  await page.goto(listed)
  await follow(page, `${gateway.url}/v1/stream`)
  t.equal(await untilSeen(page, /./), 'gave up')
  await follow(page, `${gateway.url}/v1/stream?ticket=tkt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`)
  await waitFor(async () => (await seenOn(page)).join() === 'gave up,gave up', 5_000, 'the other one to give up')
})

t.test(
  "a ticket's stream survives the replica's restart by EventSource's own reconnect, and misses nothing",
  async t => {
    const { gateway, page, listed } = await start(t)
    await page.goto(listed)
    await follow(page, `${gateway.url}/v1/stream?ticket=${await makeTicket(gateway)}`)
    await untilSeen(page, /^stream\.open .*"resumed":null/)
    const publish = (data: string) =>
      post(`${gateway.url}/v1/users/42/events`, `{"type":"tick","data":"${data}"}`, AS_SERVER)
    await publish('before')
    await untilSeen(page, /^tick before/)
    await gateway.kill()
    await gateway.restart()
    await waitFor(async () => (await publish('meanwhile')).status === 202, 10_000, 'the replica to publish')
    await untilSeen(page, /^stream\.open .*"resumed":true/, 20_000)
    await untilSeen(page, /^tick meanwhile/)
    const ticks = (await seenOn(page)).filter(each => each.startsWith('tick'))
    t.same(ticks, ['tick before', 'tick meanwhile'])
  },
)

t.test('a second tab with the same ticket is told `replaced`; revoking it ends the first one for good', async t => {
  const { gateway, page, context, listed } = await start(t)
  const ticket = await makeTicket(gateway)
  const url = `${gateway.url}/v1/stream?ticket=${ticket}`
  await page.goto(listed)
  await follow(page, url)
  await untilSeen(page, /^stream\.open/)
  const second = await context.newPage()
  await second.goto(listed)
  await follow(second, url)
  await untilSeen(second, /^stream\.close .*"reason":"replaced"/)
  await post(`${gateway.url}/v1/users/42/events`, '{"type":"tick","data":"still here"}', AS_SERVER)
  await untilSeen(page, /^tick still here/)
  await fetch(`${gateway.url}/v1/tickets/${ticket}`, { method: 'DELETE', headers: { authorization: `Bearer ${KEY}` } })
  await untilSeen(page, /^stream\.close .*"reason":"revoked"/)
  await untilSeen(page, /^gave up/, 20_000)
})
