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
import { isOpen, takesTokens } from '../src/config/rules.js'
import { FollowForbidden, InvalidUser, OpenToLoopback, OriginForbidden, shown, Unauthorized } from '../src/errors.js'
import { isUserId, roomOf } from '../src/room.js'

/** Rules of an embedding application. */
export interface AuthHooks {
  /**
   * Says who is behind a request; `null` refuses it with a 401. It replaces every built-in credential except tickets. It must not
   * read the body, which has not arrived yet. It is not asked about cross-site requests that change something and bring a cookie
   * or a remembered password (CSRF): these are refused, unless `corsOrigins` lists their origin.
   */
  readonly authenticate?: (request: FastifyRequest) => ViewerInput | null | Promise<ViewerInput | null>
  /** Asked about each room that the built-in rules allow; `false` refuses. It can narrow the rules but not widen them. */
  readonly authorize?: (viewer: Viewer, action: Action, room: string) => boolean | Promise<boolean>
}

/** Who a viewer is and what they may do, for routes. */
export interface Auth {
  /** An onRequest hook that sets `request.viewer` or refuses the request. */
  readonly authenticate: (request: FastifyRequest, reply: FastifyReply) => Promise<void>
  readonly allows: (viewer: Viewer, action: Action, room: string) => boolean | Promise<boolean>
  readonly access: Access
}

declare module 'fastify' {
  interface FastifyInstance {
    tidingsAuth: Auth
  }
  interface FastifyRequest {
    /** Who is behind the request; set on routes that `tidingsAuth.authenticate` guards. */
    viewer: Viewer
  }
  interface FastifyContextConfig {
    /** Set on the route that browsers stream from: it takes credentials in the URL, and pages of listed origins only. */
    isStream?: boolean
  }
}

/** Options of the auth plugin. */
export interface AuthPluginOptions extends AuthHooks {
  readonly config: Config
  readonly access: Access
}

type FindViewer = (credential: Credential, request: FastifyRequest) => Viewer | Promise<Viewer>

// It only decorates: each group of routes adds the hook `authenticate` itself. A hook added here would also guard probes, docs
// and the routes of an embedding application.
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
        credential.kind === 'ticket' ? await access.viewerOf(credential.secret) : await findViewer(credential, request)
      if (request.viewer.kind === 'user') await access.lookUp(request.viewer.userId)
      access.refuseRevoked(request.viewer)
      if (isStream) request.viewer = asOfNow(request.viewer, access.clock)
    },
    allows: (viewer, action, room) => {
      const isAllowed = { follow: mayFollow, publish: mayPublish, manage: mayManage }[action](viewer, room)
      return isAllowed && authorize !== undefined ? authorize(viewer, action, room) : isAllowed
    },
  })
  app.addHook('preClose', async () => access.close())
}

// The application may know its users by a cookie, so every request that could be forged is refused before it is asked.
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

// A credential without a date counts as made now: a later revocation ends its stream, an earlier one does not.
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
    // An API key is never taken from a cookie or a URL: it has no business in a browser.
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

// Open mode believes the URL, for clients on this machine only.
function whoeverTheySay(request: FastifyRequest, listed: readonly string[]): Viewer {
  const mark = outsiderMark(request.raw, listed)
  if (mark !== null) throw new OpenToLoopback(mark)
  const { user = 'anonymous' } = request.query as { user?: unknown } // checked below
  return createViewer({ userId: userIn(user), kind: 'open', follow: [ANY_ROOM], publish: [ANY_ROOM] })
}

// A server opens the stream of the user that `?user=` names, if its patterns allow that user's room.
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

// Cross-site request forgery (CSRF): a browser sends its cookies with the requests of every page. Only listed origins may use them.
function refuseForgery({ method, headers }: FastifyRequest, listed: readonly string[]): void {
  if (method === 'GET' || method === 'HEAD') return
  if (headers.origin === undefined || !listed.includes(headers.origin)) {
    throw new OriginForbidden(shown(headers.origin ?? 'unknown'))
  }
}

function hideUrl(reply: FastifyReply): void {
  reply.header('referrer-policy', 'no-referrer').header('cache-control', 'no-store')
}

function acceptedBy(config: Config): string {
  const { apiKeys, authCookie } = config
  const ways = [
    ...(takesTokens(config) ? ["a JWT as 'Authorization: Bearer <token>' (or ?token= on /v1/stream)"] : []),
    ...(authCookie !== undefined ? [`a JWT in the cookie ${authCookie}`] : []),
    ...(apiKeys !== undefined ? ["an API key as 'Authorization: Bearer <key>'", '?ticket= on /v1/stream'] : []),
  ]
  return ways.join(', or ')
}

export default fp(auth, { name: 'tidings-auth', fastify: '5.x', dependencies: ['tidings-gateway'] })
