import t from 'tap'
import { mintToken } from '../../../src/auth/mint.js'

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
