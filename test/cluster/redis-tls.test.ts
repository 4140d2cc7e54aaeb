import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority, makeFolder, writePair } from '../helpers/certificate.js'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { freePort } from '../helpers/ports.js'
import { startRedis } from '../helpers/redis.js'
import { openStream } from '../helpers/sse.js'

const authority = createAuthority()

/** Starts a Redis with a TLS port, whose certificate the test's own authority issues. */
async function startSecureRedis(t: Test) {
  const folder = await makeFolder(t)
  const files = await writePair(folder, authority.issue('redis'))
  const ca = join(folder, 'ca.crt')
  await writeFile(ca, authority.ca)
  const tlsPort = await freePort()
  const tls = ['--tls-port', `${tlsPort}`, '--tls-cert-file', files.cert, '--tls-key-file', files.key]
  const redis = await startRedis(t, { args: [...tls, '--tls-ca-cert-file', ca, '--tls-auth-clients', 'no'] })
  return { redis, ca, tlsPort }
}

t.test('rediss:// reaches a Redis whose authority NODE_EXTRA_CA_CERTS names, by name and by address', async t => {
  const { redis, ca, tlsPort } = await startSecureRedis(t)
  for (const host of ['localhost', '127.0.0.1']) {
    const env = { SSE_ADAPTER: 'redis', REDIS_URL: `rediss://${host}:${tlsPort}`, NODE_EXTRA_CA_CERTS: ca }
    const gateway = await startGateway(t, env, { until: 'ready' })
    const stream = await openStream(t, `${gateway.url}/v1/stream?user=1`)
    await stream.next('stream.open')
    const body = '{"type":"tick","data":1}'
    const headers = { 'content-type': 'application/json' }
    const { status } = await fetch(`${gateway.url}/v1/users/1/events`, { method: 'POST', headers, body })
    t.equal(status, 202)
    t.equal((await stream.next('tick')).data, '1')
    // Both connections of the link use TLS, not only the first.
    const clients = String(await redis.command('CLIENT', 'LIST'))
    t.equal((clients.match(/name=tidings-(commands|subscriber)/g) ?? []).length, 2)
    t.equal(await gateway.stop(), 0)
    t.notMatch(gateway.output, /Warning|"level":[456]0.*Redis/)
  }
})

t.test('a server under a certificate that nobody vouches for gets no password and no event', async t => {
  const { redis, tlsPort } = await startSecureRedis(t)
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: `rediss://:s3cret@localhost:${tlsPort}` }
  const gateway = await startGateway(t, env)
  const line = await waitFor(() => gateway.logs.find(({ msg }) => /Redis commands/.test(msg)), 5_000, 'word of it')
  t.match(line, { err: { message: /certificate/ } })
  t.equal((await fetch(`${gateway.url}/readyz`)).status, 503)
  t.notMatch(String(await redis.command('CLIENT', 'LIST')), /name=tidings/)
  t.notMatch(gateway.output, /s3cret/)
  t.equal(await gateway.stop(), 0)
})

t.test('TLS to a port that speaks none fails and goes on trying, without a busy loop', async t => {
  const { redis, ca } = await startSecureRedis(t)
  const env = { SSE_ADAPTER: 'redis', REDIS_URL: `rediss://localhost:${redis.port}`, NODE_EXTRA_CA_CERTS: ca }
  const gateway = await startGateway(t, env)
  await waitFor(() => gateway.logs.find(({ msg }) => /Redis commands/.test(msg)), 10_000, 'word of it')
  const connections = async () => {
    const info = String(await redis.command('INFO', 'stats'))
    return Number(/total_connections_received:(\d+)/.exec(info)![1])
  }
  const before = await connections()
  const startedAt = performance.now()
  await waitFor(() => performance.now() - startedAt > 3_000, 5_000, 'three seconds to pass')
  t.ok((await connections()) - before < 20, 'a few tries a second at most')
  t.equal(await gateway.stop(), 0)
})
