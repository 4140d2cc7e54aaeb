import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Access } from '../src/access/access.js'
import { sessionIdOf } from '../src/access/sightings.js'
import { createKeyring, parseApiKeys } from '../src/auth/api-keys.js'
import { type Credential, findCredential } from '../src/auth/credentials.js'
import { RemoteKeys } from '../src/auth/jwks.js'
import { createTokenVerifier } from '../src/auth/jwt.js'
import { outsiderMark } from '../src/auth/loopback.js'
import { isForeign, isForged } from '../src/auth/origin.js'
import { readPublicKey } from '../src/auth/public-key.js'
import {
  type Action,
  ANY_ROOM,
  createViewer,
  mayFollow,
  mayManage,
  mayPublish,
  type Viewer,
  type ViewerInput,
} from '../src/auth/viewer.js'
import type { Clock } from '../src/clock.js'
import type { Config } from '../src/config/config.js'
import { isOpen } from '../src/config/rules.js'
import { FollowForbidden, InvalidUser, OpenToLoopback, OriginForbidden, shown, Unauthorized } from '../src/errors.js'
import { isUserId, roomOf } from '../src/room.js'

/** Rules of an embedding application. */
export interface AuthHooks {
  /**
   * Says who is behind a request, in place of every built-in credential but tickets; `null` refuses it with a 401. It must
   * not read the body, which has not arrived yet. It is not asked about a request that changes something and brings a cookie
   * or a remembered password from a page of another origin: that is refused, unless the origin is listed in `corsOrigins`.
   */
  readonly authenticate?: (request: FastifyRequest) => ViewerInput | null | Promise<ViewerInput | null>
  /** Asked about each room after the built-in rules allowed it; `false` refuses. It can narrow the rules, not widen them. */
  readonly authorize?: (viewer: Viewer, action: Action, room: string) => boolean | Promise<boolean>
}

/** What routes ask about viewers. */
export interface Auth {
  /** An onRequest hook: sets `request.viewer`, or refuses. */
  readonly authenticate: (request: FastifyRequest, reply: FastifyReply) => Promise<void>
  /** Whether the viewer may do this with the room. */
  readonly allows: (viewer: Viewer, action: Action, room: string) => boolean | Promise<boolean>
  readonly access: Access
}

declare module 'fastify' {
  interface FastifyInstance {
    tidingsAuth: Auth
  }
  interface FastifyRequest {
    /** Who is behind the request, on routes that `tidingsAuth.authenticate` guards. */
    viewer: Viewer
  }
  interface FastifyContextConfig {
    /** A stream for browsers: takes credentials in the URL, and only pages of listed origins. */
    isStream?: boolean
  }
}

/** What the auth plugin is made with. */
export interface AuthPluginOptions extends AuthHooks {
  readonly config: Config
  readonly access: Access
}

type FindViewer = (credential: Credential, request: FastifyRequest) => Viewer | Promise<Viewer>

// Decorates only: each group of routes adds `authenticate` to itself, so that probes, docs and the routes of an embedding
// application are not guarded.
async function auth(
  app: FastifyInstance,
  { config, access, authenticate, authorize }: AuthPluginOptions,
): Promise<void> {
  const { authCookie, corsOrigins } = config
  const isTicketOnly = authenticate !== undefined
  const findViewer = isTicketOnly ? fromApplication(authenticate, corsOrigins, access) : builtIn(app, config, access)
  app.decorateRequest('viewer')
  app.decorate('tidingsAuth', {
    access,
    authenticate: async (request, reply) => {
      const isStream = request.routeOptions.config.isStream === true
      if (isStream && isForeign(request.headers, request.host, corsOrigins)) {
        throw new OriginForbidden(shown(request.headers.origin ?? 'of another site'))
      }
      try {
        // Safe: the query string's parser makes an object of strings and lists of them.
        const query = request.query as Record<string, unknown>
        const credential = findCredential(request.headers, query, {
          cookie: authCookie,
          inUrl: isStream,
          isTicketOnly,
        })
        if (credential.kind === 'ticket' || credential.kind === 'url-token') hideUrl(reply)
        if (credential.kind === 'cookie') refuseForgery(request, corsOrigins)
        request.viewer =
          credential.kind === 'ticket'
            ? await access.viewerOf(credential.secret)
            : await findViewer(credential, request)
        if (request.viewer.kind === 'user') await access.lookUp(request.viewer.userId)
        access.refuseRevoked(request.viewer)
        if (isStream) request.viewer = asOfNow(request.viewer, access.clock)
      } catch (error) {
        if (error instanceof Unauthorized) reply.header('www-authenticate', 'Bearer realm="tidings"')
        throw error
      }
    },
    allows: (viewer, action, room) => {
      const isAllowed = { follow: mayFollow, publish: mayPublish, manage: mayManage }[action](viewer, room)
      return isAllowed && authorize !== undefined ? authorize(viewer, action, room) : isAllowed
    },
  })
  app.addHook('preClose', async () => access.close())
}

// How the application knows its users is not known here; it may be by a cookie.
function fromApplication(
  authenticate: NonNullable<AuthHooks['authenticate']>,
  listed: readonly string[],
  access: Access,
): FindViewer {
  return async (_, request) => {
    const { method, headers, host } = request
    if (isForged(method, headers, host, listed)) throw new OriginForbidden(shown(headers.origin ?? 'of another site'))
    const input = await authenticate(request)
    if (input === null) throw new Unauthorized('the application that serves this did not accept the request')
    const viewer = createViewer(input)
    if (viewer.kind !== 'user') return viewer
    await access.whenReached()
    return { ...viewer, issuedAt: await access.dateOf(sessionIdOf(viewer), viewer) }
  }
}

// A stream whose credential does not say of when it is ends with what is revoked from now on, and not with what was before.
function asOfNow(viewer: Viewer, clock: Clock): Viewer {
  return viewer.issuedAt !== null || !clock.isSet ? viewer : { ...viewer, issuedAt: clock.now() }
}

function builtIn(app: FastifyInstance, config: Config, access: Access): FindViewer {
  if (isOpen(config)) return (_, request) => whoeverTheySay(request, config.corsOrigins)
  const findKey = createKeyring(config.apiKeys === undefined ? [] : parseApiKeys(config.apiKeys).keys)
  const verify = tokenVerifierOf(app, config, access)
  const notAccepted = `send ${acceptedBy(config)}`
  return (credential, request) => {
    if (credential.kind === 'none') throw new Unauthorized(`the request has no credential; ${notAccepted}`)
    // Never from a cookie or a URL: a server's key has no business in a browser.
    const server = credential.kind === 'bearer' || credential.kind === 'api-key' ? findKey(credential.secret) : null
    if (server !== null) return request.routeOptions.config.isStream ? actingFor(server, request) : server
    if (verify === null || credential.kind === 'api-key') {
      throw new Unauthorized(
        `the ${credential.kind === 'api-key' ? 'API key' : 'credential'} is not known here; ${notAccepted}`,
      )
    }
    return access.whenReached().then(() => verify(credential.secret))
  }
}

function tokenVerifierOf(
  app: FastifyInstance,
  config: Config,
  { clock, dateOf }: Access,
): ((token: string) => Promise<Viewer>) | null {
  const { jwtSecret, jwtPublicKey, jwksUrl, jwtIssuer: issuer, jwtAudience: audience, jwtType: type } = config
  const rules = { issuer, audience, type, maxLifeMs: config.tokenMaxLifeMs, now: () => clock.now(), dateOf }
  if (jwtSecret !== undefined) {
    const secret = crypto.subtle.importKey(
      'raw',
      new TextEncoder().encode(jwtSecret),
      { name: 'HMAC', hash: 'SHA-256' },
      false,
      ['verify'],
    )
    return createTokenVerifier({ key: () => secret, algorithms: ['HS256'], ...rules })
  }
  if (jwtPublicKey !== undefined) {
    const { key, algorithms } = readPublicKey(jwtPublicKey)
    return createTokenVerifier({ key: async () => key, algorithms, ...rules })
  }
  if (jwksUrl === undefined) return null
  const keys = new RemoteKeys({
    url: jwksUrl,
    onProblem: error =>
      app.log.warn({ err: error }, 'the key server (JWKS_URL) gave no keys, trying again when needed'),
  })
  app.addHook('onReady', async () => keys.warmUp())
  const algorithms = ['RS256', 'ES256', 'EdDSA', 'Ed25519']
  return createTokenVerifier({ key: keys.find, algorithms, ...rules })
}

// Open mode: whoever the URL says, on this machine only.
function whoeverTheySay(request: FastifyRequest, listed: readonly string[]): Viewer {
  const mark = outsiderMark(request.raw, listed)
  if (mark !== null) throw new OpenToLoopback(mark)
  const { user = 'anonymous' } = request.query as { user?: unknown } // checked below
  return createViewer({ userId: userIn(user), kind: 'open', follow: [ANY_ROOM], publish: [ANY_ROOM] })
}

// A server reads a user's stream in the user's name, if its patterns hold that user.
function actingFor(server: Viewer, request: FastifyRequest): Viewer {
  const { user } = request.query as { user?: unknown } // checked below
  const viewer = { ...server, userId: userIn(user) }
  const room = roomOf(viewer.userId)
  if (!mayFollow(viewer, room)) throw new FollowForbidden(server.userId, room)
  return viewer
}

function userIn(user: unknown): string {
  if (typeof user === 'string' && isUserId(user)) return user
  throw new InvalidUser(shown(String(user ?? '')), 'the query parameter user')
}

// Browsers send cookies with requests that any page makes; only an origin that is listed was meant to make them.
function refuseForgery({ method, headers }: FastifyRequest, listed: readonly string[]): void {
  if (method === 'GET' || method === 'HEAD') return
  if (headers.origin === undefined || !listed.includes(headers.origin)) {
    throw new OriginForbidden(shown(headers.origin ?? 'unknown'))
  }
}

function hideUrl(reply: FastifyReply): void {
  reply.header('referrer-policy', 'no-referrer').header('cache-control', 'no-store')
}

function acceptedBy({ apiKeys, authCookie, jwtSecret, jwtPublicKey, jwksUrl }: Config): string {
  const takesTokens = [jwtSecret, jwtPublicKey, jwksUrl].some(verifier => verifier !== undefined)
  const ways = [
    ...(takesTokens ? ["a JWT as 'Authorization: Bearer <token>' (or ?token= on /v1/stream)"] : []),
    ...(authCookie !== undefined ? [`a JWT in the cookie ${authCookie}`] : []),
    ...(apiKeys !== undefined ? ["an API key as 'Authorization: Bearer <key>'", '?ticket= on /v1/stream'] : []),
  ]
  return ways.join(', or ')
}

export default fp(auth, { name: 'tidings-auth', fastify: '5.x', dependencies: ['tidings-gateway'] })
