import { hash, timingSafeEqual } from 'node:crypto'
import { isPattern, isUserId } from '../room.js'
import { ANY_ROOM, type Viewer } from './viewer.js'

/** A server's key by its digest, with its name and publish patterns. The key itself is not kept. */
export interface ApiKey {
  readonly name: string
  readonly patterns: readonly string[]
  readonly digest: Buffer
}

/** The least number of characters in an API key. */
const MIN_KEY_LENGTH = 16

/**
 * Reads `name=key,name=key`, with publish patterns after bars: `jobs=k3y...|session:*|user:*`. A name may have several keys,
 * so that they can be rotated. `problems` name mistakes by position and
 * quote nothing: in a pair the wrong way round, the name is the key.
 */
export function parseApiKeys(text: string): { keys: ApiKey[]; problems: string[] } {
  const keys: ApiKey[] = []
  const problems: string[] = []
  for (const [i, entry] of text.split(',').entries()) {
    const [pair = '', ...patterns] = entry.trim().split('|')
    const equals = pair.indexOf('=')
    const [name, key] = [pair.slice(0, Math.max(0, equals)), pair.slice(equals + 1)]
    const place = `key ${i + 1}`
    const badPattern = patterns.findIndex(pattern => !isPattern(pattern))
    if (equals < 0 || !isUserId(name)) {
      problems.push(`${place} must be name=key, the name of A-Z a-z 0-9 _ . : @ / -`)
    } else if (key.length < MIN_KEY_LENGTH) {
      problems.push(
        `${place} has ${key.length} characters behind its name but must have at least ${MIN_KEY_LENGTH}; it is name=key`,
      )
    } else if (!/^[\x21-\x7e]+$/.test(key)) {
      problems.push(`${place} must be printable ASCII without spaces, commas and bars`)
    } else if (badPattern >= 0) {
      problems.push(
        `${place} has a bad pattern behind bar ${badPattern + 1}: a pattern is a room, or its beginning and one trailing *; a key has no bars`,
      )
    } else if (keys.some(other => other.digest.equals(digestOf(key)))) {
      problems.push(`${place} is the same as a key before it`)
    } else {
      keys.push({ name, patterns: patterns.length === 0 ? [ANY_ROOM] : patterns, digest: digestOf(key) })
    }
  }
  return { keys, problems }
}

/**
 * Finds the server whose key was presented; `null` for an unknown key. It compares all digests in constant time.
 */
export function createKeyring(keys: readonly ApiKey[]): (presented: string) => Viewer | null {
  const ring = keys.map(({ name, patterns, digest }) => {
    const viewer: Viewer = {
      userId: name,
      kind: 'server',
      follow: patterns,
      publish: patterns,
      expiresAt: null,
      issuedAt: null,
      ticket: null,
    }
    return { digest, viewer }
  })
  return presented => {
    const digest = digestOf(presented)
    let found: Viewer | null = null
    for (const each of ring) if (timingSafeEqual(each.digest, digest)) found = each.viewer
    return found
  }
}

function digestOf(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}
