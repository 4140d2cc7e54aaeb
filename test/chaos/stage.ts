import type { EmitterOptions } from '../../src/emitter.js'
import { type Gateway, type LogLine, startGateway } from '../helpers/gateway.js'
import { freePort } from '../helpers/ports.js'
import { type RedisServer, startRedis } from '../helpers/redis.js'
import type { Owner } from '../helpers/scope.js'
import { type SentinelSet, startSentinel } from '../helpers/sentinel.js'
import type { Topology } from './plan.js'
import { type Link, startLink } from './proxy.js'

/** The processes of a phase: gateways, Redis, and the links between them. */
export interface Stage {
  readonly topology: Topology
  readonly gateways: readonly Gateway[]
  /** Every link to a Redis. With one Redis, index i is the link of replica i; the links of the emitters follow. */
  readonly links: readonly Link[]
  /** Options that let an emitter publish as the gateways do. */
  readonly emitterOptions: EmitterOptions
  /** The Redis that currently takes writes. */
  redis(): Promise<RedisServer>
  readonly sentinel: SentinelSet | undefined
  /** Every unexpected end of a gateway, and every error in a gateway's log. */
  readonly mishaps: string[]
  /** Calls `end` to end a gateway, and starts it again after `downMs`. */
  bounce(index: number, end: (gateway: Gateway) => Promise<void>, downMs: number): Promise<void>
}

export interface StageOptions {
  replicas: number
  /** REDIS_WAIT_REPLICAS. */
  waitReplicas: number
}

/** Number of replicas of the master, under Sentinel. */
export const REDIS_REPLICAS = 2

// A phase publishes fewer events than this to a room: history then keeps them all, and none may be announced as trimmed.
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

/** Starts the stage with one Redis, which keeps an append-only file. */
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
 * Starts the stage with a master and two replicas under three sentinels. Each Redis announces the port of its link. There are two
 * replicas, so that one can confirm a new master's events while the old master is away.
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
      // Faults are expected to make publishes fail with these codes.
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
