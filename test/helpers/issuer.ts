import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose'
import type { Owner } from './scope.js'

/** A second party that signs tokens with keys of its own, and publishes them over HTTP. */
export interface Issuer {
  /** Where its keys are. */
  readonly url: string
  /** How often its keys were asked for. */
  readonly asked: number
  /** The public key of the newest one, as PEM. */
  readonly pem: string
  /** Signs with the newest key, or with the one named. Claims left out: `iat` now, `exp` in an hour. */
  sign(claims: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>
  /** Makes a new key and publishes it; with `only`, the older ones no longer. */
  rotate(only?: boolean): Promise<string>
  /** Answers 500 from now on, or answers again. */
  fail(isDown: boolean): void
}

export const seconds = (fromNow: number): number => Math.floor(Date.now() / 1_000) + fromNow

/** Starts an issuer on 127.0.0.1; gone with its owner. */
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

/** A token signed with a shared secret; claims left out: `iat` now, `exp` in an hour. */
export function signWithSecret(secret: string, claims: Record<string, unknown>, alg = 'HS256'): Promise<string> {
  return new SignJWT({ iat: seconds(0), exp: seconds(3_600), ...claims })
    .setProtectedHeader({ alg })
    .sign(new TextEncoder().encode(secret))
}
