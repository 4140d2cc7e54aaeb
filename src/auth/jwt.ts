import { hash } from 'node:crypto'
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { Unauthorized } from '../errors.js'
import { isPattern, isUserId } from '../room.js'
import { RememberedTokens } from './remembered-tokens.js'
import type { DateOf, Viewer } from './viewer.js'

/** How tokens are verified. */
export interface TokenRules {
  /** Finds the key. It must trust nothing of the token but its `kid`. */
  readonly key: JWTVerifyGetKey
  /** The algorithms that the key may be used with: the token's own `alg` never widens this. */
  readonly algorithms: readonly string[]
  readonly issuer: string | undefined
  readonly audience: string | undefined
  /** The `typ` that the header must have. If left out, the header may have none, JWT or at+jwt (RFC 9068). */
  readonly type?: string | undefined
  /** TOKEN_MAX_LIFE_MS: the longest that a token may live. */
  readonly maxLifeMs: number
  /** Ms since 1970, by the clock that replicas share. */
  readonly now: () => number
  /** When a token counts as made. */
  readonly dateOf: DateOf
}

const DAY_MS = 86_400_000
const LEEWAY_S = 5
const LEEWAY_MS = LEEWAY_S * 1_000
const MAX_TOKEN_LENGTH = 8_192
// A verified token is remembered for this long at most, so that a withdrawn key does not live on in here.
const REMEMBERED_MS = 60_000

const ACCESS_TYPES: ReadonlySet<unknown> = new Set([undefined, 'jwt', 'at+jwt'])
// Claims in which issuers say what a token is for: Keycloak, Cognito, libraries of frameworks.
const KIND_CLAIMS = ['typ', 'token_use', 'token_type', 'type']
const OTHER_KINDS = /^(?:refresh|offline|logout|(?:registration|initial) ?access)(?:[_ -]?token)?$/i

/** How long a revocation must be remembered, in ms, if tokens live for `maxLifeMs` at most. */
export function rememberedMs(maxLifeMs: number): number {
  return maxLifeMs + 2 * LEEWAY_MS
}

/**
 * Makes a function that turns a JWT into its viewer. Verified tokens are remembered for a minute at most, by their hash.
 * It throws Unauthorized, which says how to mend the token and quotes nothing of it. Errors of `key` and `dateOf` pass through.
 */
export function createTokenVerifier(rules: TokenRules): (token: string) => Promise<Viewer> {
  const { issuer, audience, now } = rules
  const remembered = new RememberedTokens()
  const options = {
    algorithms: [...rules.algorithms],
    clockTolerance: LEEWAY_S,
    requiredClaims: ['exp', 'sub'],
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
  }
  return async token => {
    if (token.length > MAX_TOKEN_LENGTH) {
      throw new Unauthorized(`the token has ${token.length} characters but at most ${MAX_TOKEN_LENGTH} are taken`)
    }
    const id = hash('sha256', token, 'base64url')
    const known = remembered.find(id, performance.now())
    if (known !== undefined && known.expiresAt! + LEEWAY_MS > now()) return known
    remembered.forget(id)
    const claims = await claimsOf(token, rules, { ...options, currentDate: new Date(now()) })
    const viewer = await dated(idOf(token), viewerOf(claims, rules), claims, rules)
    remembered.remember(id, viewer, performance.now() + REMEMBERED_MS)
    return viewer
  }
}

// The date is noted before it is judged: a token that is refused today because it is dated ahead will be accepted some day, and must then
// count as made today.
async function dated(id: string, viewer: Viewer, { iat }: JWTPayload, rules: TokenRules): Promise<Viewer> {
  const { now, maxLifeMs } = rules
  const issuedAt = await rules.dateOf(id, viewer)
  if (iat !== undefined && iat * 1_000 > now() + LEEWAY_MS) {
    throw new Unauthorized(
      "the token's iat is ahead of the clock here; check the clock of its issuer, and that iat is in seconds, not in ms",
    )
  }
  if (viewer.expiresAt! - Math.min(issuedAt!, now()) > maxLifeMs + LEEWAY_MS) {
    const longest = maxLifeMs % DAY_MS === 0 ? `${maxLifeMs / DAY_MS} days` : `${maxLifeMs} ms`
    throw new Unauthorized(`the token lives longer than ${longest} (TOKEN_MAX_LIFE_MS); issue it with an earlier exp`)
  }
  return { ...viewer, issuedAt }
}

// The signed part without the signature: a signature can be written in several ways, and each would make a token never seen before.
function idOf(token: string): string {
  return hash('sha256', token.slice(0, token.lastIndexOf('.')), 'base64url')
}

async function claimsOf(token: string, { key, algorithms, type }: TokenRules, options: object): Promise<JWTPayload> {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, key, options)
    checkKind(protectedHeader.typ, payload, type)
    return payload
  } catch (error) {
    if (error instanceof errors.JOSEError) throw new Unauthorized(reasonOf(error, algorithms))
    throw error
  }
}

// An issuer signs many kinds of tokens with one key. Refresh, logout and identity tokens must not open streams.
function checkKind(typ: unknown, payload: JWTPayload, required: string | undefined): void {
  const kind = mediaType(typ)
  if (required === undefined ? !ACCESS_TYPES.has(kind) : kind !== mediaType(required)) {
    const allowed = required === undefined ? 'none, JWT or at+jwt' : `the one configured here (JWT_TYPE)`
    throw new Unauthorized(`the token is of another kind: its header's typ must be ${allowed}`)
  }
  if (KIND_CLAIMS.some(name => typeof payload[name] === 'string' && OTHER_KINDS.test(payload[name]))) {
    throw new Unauthorized(
      'the token is not made for access (it renews others, or ends a session); send the access token',
    )
  }
}

// RFC 7515: case does not count, and `application/` may be left out.
function mediaType(typ: unknown): unknown {
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
}

function reasonOf(error: errors.JOSEError, algorithms: readonly string[]): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired; get a new one'
  if (error instanceof errors.JWTClaimValidationFailed) return claimReasonOf(error)
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) {
    return `the token is signed with an algorithm that is not taken here; use ${algorithms.join(' or ')}`
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return "the token's signature does not fit the configured key; sign it with that key"
  }
  if (error instanceof errors.JWKSNoMatchingKey) return 'the token names a key (kid) that its issuer does not publish'
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'the token names no key (kid) but its issuer has several'
  return 'the token is no JWT: three parts of base64url with dots between them'
}

function claimReasonOf({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (reason === 'missing') return `the token has no ${claim} claim; issue it with one`
  switch (claim) {
    case 'nbf':
      return 'the token is not valid yet (nbf); check the clocks'
    case 'iss':
      return "the token's iss is not the issuer configured here (JWT_ISSUER)"
    case 'aud':
      return "the token's aud does not hold the audience configured here (JWT_AUDIENCE)"
    default:
      return `the token's ${claim} claim is not valid`
  }
}

function viewerOf({ sub, exp, iat, tidings }: JWTPayload, { maxLifeMs }: TokenRules): Viewer {
  if (typeof sub !== 'string' || !isUserId(sub)) {
    throw new Unauthorized("the token's sub must be a user id: 1-195 characters of A-Z a-z 0-9 _ . : @ / -")
  }
  const expiresAt = exp! * 1_000
  // Without iat it counts as made at the earliest possible time, so that a revocation does not miss it.
  const issuedAt = iat === undefined ? expiresAt - maxLifeMs : iat * 1_000
  const { follow, publish } = permissionsOf(tidings, sub)
  return { userId: sub, kind: 'user', follow, publish, expiresAt, issuedAt, ticket: null }
}

function permissionsOf(claim: unknown, sub: string): Pick<Viewer, 'follow' | 'publish'> {
  if (claim === undefined) return { follow: [], publish: [] }
  if (typeof claim !== 'object' || claim === null || Array.isArray(claim)) {
    throw new Unauthorized("the token's tidings claim must be an object with follow and publish")
  }
  const { follow, publish } = claim as { follow?: unknown; publish?: unknown } // each is checked below
  return { follow: patternsOf('follow', follow, sub), publish: patternsOf('publish', publish, sub) }
}

function patternsOf(name: string, patterns: unknown, sub: string): string[] {
  if (patterns === undefined) return []
  const isGood = (pattern: unknown): pattern is string => typeof pattern === 'string'
  const expanded = Array.isArray(patterns)
    ? patterns.map(pattern => (isGood(pattern) ? pattern.replaceAll('{sub}', sub) : ''))
    : ['']
  if (!expanded.every(isPattern)) {
    throw new Unauthorized(`the token's tidings.${name} must be a list of rooms, or of beginnings with one trailing *`)
  }
  return expanded
}
