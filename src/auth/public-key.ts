import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** A public key, and the algorithms that it may be used with. A token's own word for its algorithm does not count. */
export interface PublicKey {
  readonly key: KeyObject
  readonly algorithms: readonly string[]
}

const MIN_RSA_BITS = 2_048

/**
 * Reads a PEM, or the file that holds it.
 * @throws Error  names the mistake and quotes nothing of the key
 */
export function readPublicKey(pemOrPath: string): PublicKey {
  const pem = pemOrPath.includes('-----BEGIN') ? pemOrPath : readPem(pemOrPath)
  if (pem.includes('PRIVATE KEY')) throw new Error('is a private key; give the public key that belongs to it')
  let key: KeyObject
  try {
    // A PEM in an environment variable often has its line breaks escaped.
    key = createPublicKey(pem.replaceAll('\\n', '\n'))
  } catch {
    throw new Error('is no PEM public key')
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= MIN_RSA_BITS) return { key, algorithms: ['RS256'] }
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return { key, algorithms: ['ES256'] }
  // RFC 9864 names the curve; older issuers say EdDSA.
  if (type === 'ed25519') return { key, algorithms: ['EdDSA', 'Ed25519'] }
  throw new Error(`is of a kind that is not taken; use RSA of at least ${MIN_RSA_BITS} bits, EC P-256 or Ed25519`)
}

/** Why this is no public key; `null` if it is one. */
export function publicKeyProblem(pemOrPath: string): string | null {
  try {
    readPublicKey(pemOrPath)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${error.code})` : ''
    throw new Error(`is neither a PEM nor a file that can be read${code}`)
  }
}
