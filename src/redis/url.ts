/** The address of Redis, read from a URL. */
export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  readonly tls: boolean
  readonly username: string | undefined
  readonly password: string | undefined
  readonly hosts: readonly { readonly host: string; readonly port: number }[]
  /** The primary's name, with Sentinel. */
  readonly name: string | undefined
  readonly db: number
  /** The Sentinels' own password: `?sentinelPassword=`. */
  readonly sentinelPassword: string | undefined
}

const URL_PARTS = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^/?]*)(\/[^?]*)?(\?.*)?$/
const NOT_ENCODED = 'user and password must be percent-encoded'
const DEFAULT_PORT = 6_379
const DEFAULT_SENTINEL_PORT = 26_379

/**
 * Reads `redis://`, `rediss://`, `redis+sentinel://h1,h2/name[/db]` or `redis+cluster://h1,h2`; user, password and special
 * characters in them percent-encoded.
 * @throws TypeError  says what is wrong, never the URL itself: it may hold a password
 */
export function parseRedisUrl(url: string): RedisAddress {
  // If the URL were cut at the wrong place, the rest of a password would pass for a host, and be logged as one.
  if (/@.*@|[/?#].*@/.test(url.replace(/^[a-z+]*:\/*/, ''))) throw new TypeError(NOT_ENCODED)
  const parts = URL_PARTS.exec(url)
  if (parts === null)
    throw new TypeError('it must be redis://host:port, redis+sentinel://host,host/name or redis+cluster://host,host')
  const [, scheme, flavour, credentials, hosts = '', path = '', query = ''] = parts
  const kind = flavour === 'sentinel' || flavour === 'cluster' ? flavour : 'single'
  const [username, password] = readCredentials(credentials)
  const segments = path.split('/').filter(segment => segment !== '')
  const name = kind === 'sentinel' ? segments.shift() : undefined
  if (kind === 'sentinel' && name === undefined)
    throw new TypeError("a Sentinel URL must end with the primary's name: redis+sentinel://host,host/name")
  const db = segments[0] ?? '0'
  if (!/^\d{1,5}$/.test(db)) throw new TypeError('the database must be a number')
  if (kind === 'cluster' && db !== '0') throw new TypeError('a cluster has no database but 0')
  const sentinelPassword = new URLSearchParams(query).get('sentinelPassword') ?? undefined
  const defaultPort = kind === 'sentinel' ? DEFAULT_SENTINEL_PORT : DEFAULT_PORT
  return {
    kind,
    tls: scheme === 'rediss',
    username,
    password,
    hosts: readHosts(hosts, kind, defaultPort),
    name,
    db: Number(db),
    sentinelPassword,
  }
}

/** The problem of a URL, without quoting it; `null` when there is none. */
export function redisUrlProblem(url: string): string | null {
  try {
    parseRedisUrl(url)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** The address as it may be logged: without credentials. */
export function describeRedis(address: RedisAddress): string {
  const hosts = address.hosts.map(({ host, port }) => `${host}:${port}`).join(',')
  const flavour = address.kind === 'single' ? '' : `+${address.kind}`
  return `${address.tls ? 'rediss' : 'redis'}${flavour}://${hosts}${address.name === undefined ? '' : `/${address.name}`}`
}

function readCredentials(text: string | undefined): [string | undefined, string | undefined] {
  if (text === undefined || text === '') return [undefined, undefined]
  const colon = text.indexOf(':')
  const username = decode(colon < 0 ? text : text.slice(0, colon))
  return [username === '' ? undefined : username, colon < 0 ? undefined : decode(text.slice(colon + 1))]
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new TypeError(NOT_ENCODED)
  }
}

function readHosts(text: string, kind: RedisAddress['kind'], defaultPort: number): { host: string; port: number }[] {
  const hosts = text.split(',').map((each, i) => {
    const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(each.trim())
    if (match === null) throw new TypeError(`host ${i + 1} must be host or host:port`)
    const port = match[2] === undefined ? defaultPort : Number(match[2])
    if (port < 1 || port > 65_535) throw new TypeError(`port ${port} must be 1-65535`)
    return { host: match[1]!.replace(/^\[|\]$/g, ''), port }
  })
  if (kind === 'single' && hosts.length > 1)
    throw new TypeError('several hosts need redis+sentinel:// or redis+cluster://')
  return hosts
}
