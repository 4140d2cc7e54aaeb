import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { buildAdminApp, buildApp } from '../../src/app.js'
import { checkOptions } from '../../src/config/check.js'
import { listen } from '../helpers/app.js'
import { waitFor } from '../helpers/deadline.js'
import { runGateway, startGateway } from '../helpers/gateway.js'
import { freePort } from '../helpers/ports.js'
import { openStream } from '../helpers/sse.js'

/** Starts a gateway and its admin port inside this process. */
async function startBoth(t: Test) {
  const config = checkOptions({ logLevel: 'silent', drainWindowMs: 0, adminPort: 0 })
  const app = await buildApp(config)
  const admin = await buildAdminApp(app, config)
  const { url } = await listen(t, app)
  await admin.listen({ host: '127.0.0.1', port: 0 })
  const { port } = admin.server.address() as AddressInfo // it listens on TCP
  return { app, admin, url, adminUrl: `http://127.0.0.1:${port}` }
}

const PROBES = ['/livez', '/readyz', '/metrics']

t.test('with an admin port, probes and metrics are there and nowhere else', async t => {
  const { url, adminUrl } = await startBoth(t)
  for (const path of PROBES) {
    t.equal((await fetch(`${adminUrl}${path}`)).status, 200, `${path} on the admin port`)
    const refused = await fetch(`${url}${path}`)
    t.match(
      { status: refused.status, ...((await refused.json()) as object) },
      { status: 404, code: 'TIDINGS_NOT_FOUND' },
    )
  }
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: object }
  t.notOk(
    PROBES.some(path => path in paths),
    'the public description does not tell of them',
  )
  t.ok('/v1/stream' in paths)
})

t.test('the admin port has no door for readers and publishers', async t => {
  const { adminUrl } = await startBoth(t)
  for (const path of ['/', '/v1/stream?user=1', '/docs', '/openapi.json']) {
    t.equal((await fetch(`${adminUrl}${path}`)).status, 404, path)
  }
  const headers = { 'content-type': 'application/json' }
  const published = await fetch(`${adminUrl}/v1/broadcast`, { method: 'POST', headers, body: '{"type":"x"}' })
  t.equal(published.status, 404)
})

t.test('the admin port measures what happens on the other', async t => {
  const { url, adminUrl } = await startBoth(t)
  const stream = await openStream(t, `${url}/v1/stream?user=1`)
  await stream.next('stream.open')
  const headers = { 'content-type': 'application/json' }
  await fetch(`${url}/v1/broadcast`, { method: 'POST', headers, body: '{"type":"x"}' })
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  t.match(text, /^tidings_connections 1$/m)
  t.match(text, /^tidings_events_published_total\{route="broadcast"\} 1$/m)
  t.match(text, /^process_resident_memory_bytes \d+$/m)
})

t.test('without an admin port everything is on one', async t => {
  const app = await buildApp(checkOptions({ logLevel: 'silent', drainWindowMs: 0 }))
  const { url } = await listen(t, app)
  for (const path of PROBES) t.equal((await fetch(`${url}${path}`)).status, 200, path)
})

t.test('a shutdown shows on the admin port until the end, and both ports close', async t => {
  const env = { ADMIN_PORT: '0', DRAIN_DELAY_MS: '700', DRAIN_WINDOW_MS: '300' }
  const gateway = await startGateway(t, env)
  const { url, adminUrl } = gateway
  const stream = await openStream(t, `${url}/v1/stream?user=1`)
  await stream.next('stream.open')
  const code = gateway.stop(10_000)
  const isDraining = async () => {
    const response = await fetch(`${adminUrl}/readyz`)
    return response.status === 503 && (await response.text()).includes('"draining"')
  }
  await waitFor(isDraining, 3_000, 'the probe to say so')
  t.equal((await fetch(`${adminUrl}/livez`)).status, 200, 'it is alive all the same')
  t.equal(stream.destroyed, false, 'streams go on during the delay')
  t.match(await stream.next('stream.close'), { data: /"shutdown"/ })
  t.equal(await code, 0)
  for (const each of [url, adminUrl]) t.ok(await isRefused(Number(new URL(each).port)), 'nobody listens any more')
})

t.test('an admin port that is taken ends the start with the reason, and the main port with it', async t => {
  const config = checkOptions({ logLevel: 'silent' })
  const { app } = await listen(t, await buildApp(config))
  const taken = (app.server.address() as AddressInfo).port // it listens on TCP
  const port = await freePort()
  const { code, output } = await runGateway(t, { PORT: `${port}`, ADMIN_PORT: `${taken}` })
  t.equal(code, 1)
  t.match(output, /EADDRINUSE.*127\.0\.0\.1/)
  t.ok(await isRefused(port))
})

function isRefused(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', () => resolve(true))
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
  })
}
