import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Owner } from './scope.js'

// Makes X.509 certificates (RFC 5280) with Node alone, as `openssl req -x509` would: some machines have no openssl.

/** A certificate and its key, PEM. */
export interface Pair {
  readonly cert: string
  readonly key: string
}

/** A certificate authority (CA) of the test's own. */
export interface Authority {
  /** Its certificate, PEM: clients must trust it. */
  readonly ca: string
  /** Makes a certificate for localhost and 127.0.0.1, named `name`. */
  issue(name: string): Pair
}

const YEAR_MS = 365 * 24 * 3600 * 1000
const COMMON_NAME = '2.5.4.3'
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
const BASIC_CONSTRAINTS = '2.5.29.19'
const ALT_NAME = '2.5.29.17'

/** Makes an authority that nobody trusts until told to. */
export function createAuthority(name = 'the tests'): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const isAuthority = extension(BASIC_CONSTRAINTS, sequence(der(0x01, Buffer.from([0xff]))), true)
  const ca = certificate({ issuer: name, subject: name, publicKey: keys.publicKey, extensions: [isAuthority] }, keys)
  return {
    ca,
    issue: subject => {
      const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const names = sequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])))
      const extensions = [extension(ALT_NAME, names)]
      const cert = certificate({ issuer: name, subject, publicKey: own.publicKey, extensions }, keys)
      return { cert, key: own.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
    },
  }
}

/** Makes a folder of the test's own, gone with its owner. */
export async function makeFolder(owner: Owner): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-tls-'))
  owner.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Writes `tls.crt` and `tls.key` into the folder and returns their paths. */
export async function writePair(folder: string, { cert, key }: Pair) {
  const files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') }
  await writeFile(files.cert, cert)
  await writeFile(files.key, key, { mode: 0o600 })
  return files
}

interface Statement {
  issuer: string
  subject: string
  publicKey: KeyObject
  extensions: Buffer[]
}

function certificate({ issuer, subject, publicKey, extensions }: Statement, signer: { privateKey: KeyObject }): string {
  const algorithm = sequence(oid(ECDSA_WITH_SHA256))
  const stated = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([0x01]), randomBytes(8)])),
    algorithm,
    nameOf(issuer),
    sequence(time(Date.now() - YEAR_MS), time(Date.now() + YEAR_MS)),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', stated, signer.privateKey)
  const whole = sequence(stated, algorithm, der(0x03, Buffer.from([0]), signature))
  const lines = whole.toString('base64').match(/.{1,64}/g)!
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function sequence(...items: Buffer[]): Buffer {
  return der(0x30, ...items)
}

function integer(bytes: Buffer): Buffer {
  return der(0x02, bytes)
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return der(0x06, Buffer.from(bytes))
}

function nameOf(commonName: string): Buffer {
  return sequence(der(0x31, sequence(oid(COMMON_NAME), der(0x0c, Buffer.from(commonName)))))
}

function time(ms: number): Buffer {
  // YYMMDDHHMMSSZ
  const text = `${new Date(ms).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`
  return der(0x17, Buffer.from(text))
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  const critical = isCritical ? [der(0x01, Buffer.from([0xff]))] : []
  return sequence(oid(id), ...critical, der(0x04, value))
}
