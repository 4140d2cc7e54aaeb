import { parseApiKeys } from '../auth/api-keys.js'
import { keyServerProblem } from '../auth/jwks.js'
import { isLoopback } from '../auth/loopback.js'
import { publicKeyProblem } from '../auth/public-key.js'
import { trustOf } from '../http/trust-proxy.js'
import { shownSetting } from '../redact.js'
import { redisUrlProblem } from '../redis/url.js'
import type { Config } from './config.js'

/** The name that an option was given by: the variable's, or the property's. */
export type NameOf = (name: keyof Config) => string

/** Finds problems between values that are each allowed alone. Returns one sentence a problem. */
export type Rule = (config: Config, nameOf: NameOf) => string[]

/** True if no credential is configured. The gateway then believes any user id that a viewer names. */
export function isOpen(config: Config): boolean {
  return config.apiKeys === undefined && !takesTokens(config)
}

/** True if JWTs can be verified. */
export function takesTokens(config: Config): boolean {
  return verifiersOf(config).length > 0
}

function verifiersOf(config: Config): ('jwtSecret' | 'jwtPublicKey' | 'jwksUrl')[] {
  return (['jwtSecret', 'jwtPublicKey', 'jwksUrl'] as const).filter(name => config[name] !== undefined)
}

/** Finds values that contradict each other, or cannot have an effect. */
export function contradictions(config: Config, nameOf: NameOf): string[] {
  const problems: string[] = []
  const say = (isWrong: boolean, problem: string) => isWrong && problems.push(problem)
  const [adapter, url] = [nameOf('adapter'), nameOf('redisUrl')]
  say(
    config.adapter === 'redis' && config.redisUrl === undefined,
    `${url} is not set but ${adapter} is 'redis', which needs it`,
  )
  say(
    config.adapter === 'memory' && config.redisUrl !== undefined,
    `${url} is set but ${adapter} is 'memory'; set ${adapter} to 'redis' or remove ${url}`,
  )
  if (config.redisUrl !== undefined) {
    const problem = redisUrlProblem(config.redisUrl)
    say(problem !== null, `${url} is no Redis URL: ${problem}`)
  }
  say(
    config.adapter === 'memory' && config.redisWaitReplicas > 0,
    `${nameOf('redisWaitReplicas')} is ${config.redisWaitReplicas} but ${adapter} is 'memory', which has no replicas`,
  )
  say(
    config.queueLimitBytes < 4 * config.maxEventBytes,
    `${nameOf('queueLimitBytes')} is ${config.queueLimitBytes} but must be at least 4 times ${nameOf('maxEventBytes')} (${4 * config.maxEventBytes})`,
  )
  say(
    (config.tlsCert === undefined) !== (config.tlsKey === undefined),
    `${nameOf('tlsCert')} and ${nameOf('tlsKey')} must be set together`,
  )
  say(
    config.adminPort !== undefined && config.adminPort !== 0 && config.adminPort === config.port,
    `${nameOf('adminPort')} is ${config.port}, the same as ${nameOf('port')}; use another or leave it out`,
  )
  say(
    !isOpen(config) && config.auth === 'none',
    `${nameOf('auth')} is 'none' but credentials are configured; remove one or the other`,
  )
  if (config.apiKeys !== undefined) {
    problems.push(...parseApiKeys(config.apiKeys).problems.map(problem => `${nameOf('apiKeys')}: ${problem}`))
  }
  for (const name of ['tlsCert', 'tlsKey'] as const) {
    say(
      config[name]?.includes('-----BEGIN') === true,
      `${nameOf(name)} holds a PEM but must be the path of a file with one`,
    )
  }
  if (config.jwksUrl !== undefined) {
    const problem = keyServerProblem(config.jwksUrl)
    say(problem !== null, `${nameOf('jwksUrl')} ${problem}`)
  }
  if (config.jwtPublicKey !== undefined) {
    const problem = publicKeyProblem(config.jwtPublicKey)
    say(problem !== null, `${nameOf('jwtPublicKey')} ${problem}`)
  }
  say(
    trustOf(config.trustProxy) === null,
    `${nameOf('trustProxy')} is ${quoted(config.trustProxy)} but must be true, false, a number of hops, or addresses and ranges such as 10.0.0.0/8`,
  )
  const verifiers = verifiersOf(config)
  say(
    verifiers.length > 1,
    `${verifiers.map(nameOf).join(' and ')} are set together; tokens are verified by exactly one of them`,
  )
  for (const name of ['jwtIssuer', 'jwtAudience', 'jwtType', 'authCookie'] as const) {
    say(
      config[name] !== undefined && verifiers.length === 0,
      `${nameOf(name)} is set but nothing verifies tokens; set ${nameOf('jwtSecret')}, ${nameOf('jwtPublicKey')} or ${nameOf('jwksUrl')}`,
    )
  }
  return problems
}

/** Finds a gateway without credentials beyond loopback, where anybody on the network could be any user. */
export function exposure(config: Config): string[] {
  if (!isOpen(config) || isLoopback(config.host)) return []
  const why = `HOST is '${config.host}' but no credentials are configured, so anybody who reaches it could be any user`
  return [`${why}; set JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL or API_KEYS, or listen on 127.0.0.1`]
}

function quoted(value: string): string {
  const shown = shownSetting(undefined, value)
  return shown === null ? 'set to something' : `'${shown}'`
}
