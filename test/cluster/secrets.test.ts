import { join } from 'node:path'
import t from 'tap'
import { createAuthority, makeFolder, writePair } from '../helpers/certificate.js'
import { waitFor } from '../helpers/deadline.js'
import { runGateway, startGateway } from '../helpers/gateway.js'

// A whole process must not write secrets of its settings to stdout or stderr.

t.test('a key in place of its path ends the start in words, and is in none of them', async t => {
  const files = await writePair(await makeFolder(t), createAuthority().issue('mine'))
  for (const [key, expected] of [
    [
      'MC4CAQAwBQYDK2VwBCIEIs3cretMC4CAQAwBQYDK2VwBCIEI',
      /TLS_KEY \(not shown: .*\) is no file that can be read \(ENOENT\)/,
    ],
    ['-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----', /TLS_KEY holds a PEM/],
    [join('/nowhere', 'tls.key'), /TLS_KEY '\/nowhere\/tls\.key' is no file that can be read \(ENOENT\)/],
  ] as const) {
    const { code, output } = await runGateway(t, { TLS_CERT: files.cert, TLS_KEY: key })
    t.equal(code, 1)
    t.match(output, expected)
    t.notMatch(output, /s3cret/)
  }
})

t.test('a key server that cannot be asked is told of without the query of its URL', async t => {
  const env = { JWKS_URL: 'http://127.0.0.1:1/keys?key=s3cret', LOG_LEVEL: 'trace' }
  const gateway = await startGateway(t, env)
  const warning = () => gateway.logs.find(({ msg }) => msg.startsWith('the key server (JWKS_URL) gave no keys'))
  t.match(await waitFor(warning, 5_000, 'word of it'), { level: 40, err: { message: /.{5}/ } })
  const token = 'eyJhbGciOiJSUzI1NiJ9.e30.AAAA'
  const answer = await fetch(`${gateway.url}/v1/broadcast`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
  })
  t.equal(answer.status, 503)
  t.notMatch(gateway.output + (await answer.text()), /s3cret/)
  const { code, output } = await runGateway(t, { JWKS_URL: 'http://me:s3cret@127.0.0.1:1/keys' })
  t.equal(code, 1)
  t.match(output, /JWKS_URL holds a user or password/)
  t.notMatch(output, /s3cret/)
})
