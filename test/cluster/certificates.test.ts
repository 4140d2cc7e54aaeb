import { mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { makeFolder, writePair } from '../helpers/certificate.js'
import { waitFor } from '../helpers/deadline.js'
import { http2Request, openHttp2Stream, openSession } from '../helpers/http2.js'
import { authority, startSecure } from '../helpers/secure-gateway.js'

const { ca } = authority

/** Opens a connection; resolves with the name on the server's certificate and the negotiated protocol (ALPN). */
function shownTo(port: number): Promise<{ name: string; protocol: unknown }> {
  const socket = connectTls({ port, host: 'localhost', ca, ALPNProtocols: ['h2', 'http/1.1'] })
  const shown = new Promise<{ name: string; protocol: unknown }>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      const { subject } = socket.getPeerCertificate()
      resolve({ name: String(subject.CN), protocol: socket.alpnProtocol })
    })
  })
  return shown.finally(() => socket.destroy())
}

t.test('a renewed certificate is served after SIGHUP, and a broken one changes nothing', async t => {
  const { gateway, folder } = await startSecure(t)
  t.match(await shownTo(gateway.port), { name: 'first', protocol: 'h2' })
  const session = await openSession(t, gateway.port, ca)
  const reader = await openHttp2Stream(session, '/v1/stream?user=1')
  await writePair(folder, authority.issue('second'))
  gateway.signal('SIGHUP')
  await waitFor(async () => (await shownTo(gateway.port)).name === 'second', 3_000, 'the second certificate')
  t.match(await shownTo(gateway.port), { protocol: 'h2' }, 'HTTP/2 is still offered')
  const key = await readFile(join(folder, 'tls.key'), 'utf8')
  for (const broken of ['not a certificate', authority.issue('of another key').cert]) {
    await writeFile(join(folder, 'tls.crt'), broken)
    const lines = gateway.logs.length
    gateway.signal('SIGHUP')
    const told = () => gateway.logs.slice(lines).find(({ msg }) => /the old one stays/.test(msg))
    t.match(await waitFor(told, 3_000, 'word of it'), { level: 50, err: { message: /TLS_CERT .*tls\.crt/ } })
    t.match(await shownTo(gateway.port), { name: 'second' })
  }
  t.notMatch(gateway.output, key.split('\n')[1]!, 'no key in a log')
  const headers = { 'content-type': 'application/json' }
  await http2Request(session, '/v1/users/1/events', { ...headers, body: '{"type":"tick","data":1}' })
  t.equal((await reader.next('tick')).data, '1', 'open streams go on')
})

t.test('certificates that are swapped as a mounted secret are, by a link, are served without a signal', async t => {
  const folder = await makeFolder(t)
  const version = async (name: string) => {
    await mkdir(join(folder, name))
    await writePair(join(folder, name), authority.issue(name))
    await symlink(name, join(folder, '..data.new'))
    await rename(join(folder, '..data.new'), join(folder, '..data'))
  }
  await version('one')
  for (const file of ['tls.crt', 'tls.key']) await symlink(join('..data', file), join(folder, file))
  const { gateway } = await startSecure(t, { TLS_CERT: join(folder, 'tls.crt'), TLS_KEY: join(folder, 'tls.key') })
  t.match(await shownTo(gateway.port), { name: 'one' })
  await version('two')
  await waitFor(async () => (await shownTo(gateway.port)).name === 'two', 15_000, 'the second certificate')
  t.notMatch(gateway.output, /"level":50/)
})
