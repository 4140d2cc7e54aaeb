import type { EmitterOptions } from '../../src/emitter.js'
import { type Gateway, type LogLine, startGateway } from '../helpers/gateway.js'
import { freePort } from '../helpers/ports.js'
import { type RedisServer, startRedis } from '../helpers/redis.js'
import type { Owner } from '../helpers/scope.js'
import { type SentinelSet, startSentinel } from '../helpers/sentinel.js'
import type { Topology } from './plan.js'
import { type Link, startLink } from './proxy.js'

/** What a phase plays on: gateways, Redis, and the links between them. */
export interface Stage {
  readonly topology: Topology
  readonly gateways: readonly Gateway[]
  /** Every link to a Redis. With one Redis: the link of replica i is at i, then those of the emitters. */
  readonly links: readonly Link[]
  /** What an emitter needs to publish as the gateways do. */
  readonly emitterOptions: EmitterOptions
  /** The Redis that takes writes now. */
  redis(): Promise<RedisServer>
  readonly sentinel: SentinelSet | undefined
  /** A gateway's end by itself, or an error in its log. */
  readonly mishaps: string[]
  /** Ends a gateway by what `end` does, and starts it again after `downMs`. */
  bounce(index: number, end: (gateway: Gateway) => Promise<void>, downMs: number): Promise<void>
}

export interface StageOptions {
  replicas: number
  /** REDIS_WAIT_REPLICAS. */
  waitReplicas: number
}

/** Under Sentinel, beside the master. */
export const REDIS_REPLICAS = 2

// A phase publishes less than this to a room: what Redis keeps must never be announced as lost.
const HISTORY_SIZE = 20_000
const GATEWAY_ENV = {
  SSE_ADAPTER: 'redis',
  HEARTBEAT_MS: '1000',
  HISTORY_SIZE: `${HISTORY_SIZE}`,
  QUEUE_LIMIT_BYTES: '262144',
  CONNECTION_MAX_AGE_MS: '30000',
  DRAIN_WINDOW_MS: '1500',
}
const REDIS_ARGS = ['--appendfsync', 'everysec', '--maxmemory-policy', 'noeviction']

/** One Redis that keeps an append-only file. */
export async function startSingleStage(owner: Owner, options: StageOptions): Promise<Stage> {
  const redis = await startRedis(owner, { appendonly: true, args: REDIS_ARGS })
  const links: Link[] = []
  while (links.length <= options.replicas) links.push(await startLink(owner, redis.port))
  const urlOf = (index: number) => `redis://127.0.0.1:${links[index]?.port}`
  return {
    topology: 'single',
    links,
    emitterOptions: emitterOptions(urlOf(options.replicas), options),
    redis: async () => redis,
    sentinel: undefined,
    ...(await startGateways(owner, options, urlOf)),
  }
}

/**
 * A master and two replicas under three sentinels, each Redis known to everyone by the port of its link. Two, so that a new
 * master has somebody to confirm what it takes while the old one is away.
 */
export async function startSentinelStage(owner: Owner, options: StageOptions): Promise<Stage> {
  const links: Link[] = []
  const announce = async (port: number) => {
    const link = await startLink(owner, port)
    links.push(link)
    return link.port
  }
  const sentinel = await startSentinel(owner, { announce, args: REDIS_ARGS, replicas: REDIS_REPLICAS })
  return {
    topology: 'sentinel',
    links,
    emitterOptions: emitterOptions(sentinel.url, options),
    redis: () => sentinel.master(),
    sentinel,
    ...(await startGateways(owner, options, () => sentinel.url)),
  }
}

function emitterOptions(redisUrl: string, { waitReplicas }: StageOptions): EmitterOptions {
  return { redisUrl, historySize: HISTORY_SIZE, redisWaitReplicas: waitReplicas }
}

async function startGateways(owner: Owner, { replicas, waitReplicas }: StageOptions, urlOf: (index: number) => string) {
  const mishaps: string[] = []
  const gateways: Gateway[] = []
  const leaving = new Set<Gateway>()
  const watch = (gateway: Gateway, index: number) => {
    void gateway.exited.then(code => {
      if (!leaving.has(gateway)) mishaps.push(`replica ${index} ended by itself, code ${code}: ${tailOf(gateway)}`)
    })
  }
  for (let index = 0; index < replicas; index++) {
    const wait = { REDIS_WAIT_REPLICAS: `${waitReplicas}` }
    const own = { ...GATEWAY_ENV, ...wait, REDIS_URL: urlOf(index), PORT: `${await freePort()}` }
    const onLog = (line: LogLine) => {
      // A publish that is refused for want of Redis is what the faults are for.
      if (line.level < 50 || /TIDINGS_(BUS_|CLOSED)/.test(JSON.stringify(line))) return
      mishaps.push(`replica ${index} logged an error: ${JSON.stringify(line).slice(0, 1500)}`)
    }
    const gateway = await startGateway(owner, own, { until: 'ready', onLog })
    gateways.push(gateway)
    watch(gateway, index)
  }
  owner.teardown(() => {
    for (const gateway of gateways) leaving.add(gateway)
  })
  const bounce = async (index: number, end: (gateway: Gateway) => Promise<void>, downMs: number) => {
    const gateway = gateways[index]
    if (!gateway || leaving.has(gateway)) return
    leaving.add(gateway)
    try {
      await end(gateway)
      await new Promise(resolve => setTimeout(resolve, downMs))
      await gateway.restart()
    } catch (error) {
      mishaps.push(`replica ${index} did not come back: ${error}`)
    }
    leaving.delete(gateway)
    if (gateway.isRunning) watch(gateway, index)
  }
  return { gateways, mishaps, bounce }
}

function tailOf(gateway: Gateway): string {
  return gateway.output.split('\n').slice(-12).join('\n      ')
}
