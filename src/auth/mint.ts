import { SignJWT } from 'jose'

/** The claims of a token for trying out. */
export interface TokenRequest {
  /** The gateway's `JWT_SECRET`. */
  readonly secret: string
  /** The user. */
  readonly sub: string
  /** Room patterns the user may follow beside their own room and `*`. */
  readonly follow?: readonly string[]
  /** Room patterns the user may publish to. */
  readonly publish?: readonly string[]
  readonly ttlSeconds: number
  readonly issuer?: string
  readonly audience?: string
  /** The header's `typ`; `JWT` if left out. */
  readonly type?: string
}

/** A JWT (HS256) that a gateway with this secret accepts from now on, for `ttlSeconds`. */
export async function mintToken(request: TokenRequest): Promise<string> {
  const { secret, sub, follow = [], publish = [], ttlSeconds, issuer, audience, type = 'JWT' } = request
  const issuedAt = Math.floor(Date.now() / 1_000)
  const token = new SignJWT({ tidings: { follow, publish } })
    .setProtectedHeader({ alg: 'HS256', typ: type })
    .setSubject(sub)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + ttlSeconds)
  if (issuer !== undefined) token.setIssuer(issuer)
  if (audience !== undefined) token.setAudience(audience)
  return token.sign(new TextEncoder().encode(secret))
}
