import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose'
import type { Owner } from './scope.js'

/** A token issuer apart from the gateway: it signs with its own keys, and publishes their public halves over HTTP (JWKS). */
export interface Issuer {
  /** The URL of its keys. */
  readonly url: string
  /** How often its keys were fetched. */
  readonly asked: number
  /** The newest public key, as PEM. */
  readonly pem: string
  /** Signs with the newest key, or with the one that the header names. Default claims: `iat` now, `exp` in an hour. */
  sign(claims: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>
  /** Makes a new key and publishes it; with `only`, without the older ones. */
  rotate(only?: boolean): Promise<string>
  /** With `true` it answers 500 from now on; with `false` it answers again. */
  fail(isDown: boolean): void
}

export const seconds = (fromNow: number): number => Math.floor(Date.now() / 1_000) + fromNow

/** Starts an issuer on 127.0.0.1; it is gone with its owner. */
export async function startIssuer(owner: Owner, alg: 'RS256' | 'ES256' | 'EdDSA' = 'ES256'): Promise<Issuer> {
  const keys = new Map<string, { privateKey: CryptoKey; jwk: JWK; pem: string }>()
  let published: string[] = []
  let asked = 0
  let isDown = false
  const rotate = async (only = false) => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
    const kid = `key-${keys.size + 1}`
    const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
    keys.set(kid, { privateKey, jwk, pem: await exportSPKI(publicKey) })
    published = only ? [kid] : [...published, kid]
    return kid
  }
  await rotate()
  const server = createServer((_, response: ServerResponse) => {
    asked++
    if (isDown) return response.writeHead(500).end()
    response.writeHead(200, { 'content-type': 'application/json' })
    return response.end(JSON.stringify({ keys: published.map(kid => keys.get(kid)!.jwk) }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  owner.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  // Safe: a server that listens on TCP has such an address.
  const { port } = server.address() as AddressInfo
  const newest = () => [...keys.keys()].at(-1)!
  return {
    url: `http://127.0.0.1:${port}/jwks.json`,
    get asked() {
      return asked
    },
    get pem() {
      return keys.get(newest())!.pem
    },
    sign: (claims, header = {}) => {
      const kid = typeof header.kid === 'string' && keys.has(header.kid) ? header.kid : newest()
      return new SignJWT({ iat: seconds(0), exp: seconds(3_600), ...claims })
        .setProtectedHeader({ alg, kid, ...header })
        .sign(keys.get(kid)!.privateKey)
    },
    rotate,
    fail: down => {
      isDown = down
    },
  }
}

/** Signs a token with a shared secret. Default claims: `iat` now, `exp` in an hour. */
export function signWithSecret(secret: string, claims: Record<string, unknown>, alg = 'HS256'): Promise<string> {
  return new SignJWT({ iat: seconds(0), exp: seconds(3_600), ...claims })
    .setProtectedHeader({ alg })
    .sign(new TextEncoder().encode(secret))
}
