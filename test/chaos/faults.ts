import { setTimeout as wait } from 'node:timers/promises'
import { Gate } from '../../src/gate.js'
import { waitFor } from '../helpers/deadline.js'
import type { Gateway } from '../helpers/gateway.js'
import type { RedisServer } from '../helpers/redis.js'
import { BULK_ROOM, type Crowd } from './crowd.js'
import type { Door } from './doors.js'
import type { Ledger } from './ledger.js'
import type { Fault, FaultKind } from './plan.js'
import { publishAll } from './presses.js'
import type { Link, LinkState } from './proxy.js'
import type { Stage } from './stage.js'

/** Everything that a fault can touch. */
export interface World {
  stage: Stage
  ledger: Ledger
  crowd: Crowd
  /** Publishes the flood that stalled readers do not take. */
  bulkDoor: Door
}

type Injector = (world: World, fault: Fault) => Promise<void>

/** For this long after Redis lost data, a loss may still be announced. Replicas notice a dead link within 10 s. */
const NOTICE_MS = 20_000
const BULK_EVENTS = 200
const BULK_BYTES = 60_000
const BULK_BATCH = 5
const DELAY_MS = 150
/** The share of the readers that is offline during a failover. */
const OFFLINE_SHARE = 0.2

/** Each injector resolves once the fault is over and mended; its consequences may go on. */
export const INJECTORS: Record<FaultKind, Injector> = {
  kill: ({ stage, ledger }, { replica, forMs }) =>
    stage.bounce(
      replica,
      async gateway => {
        await gateway.kill()
        noteEnd(ledger, gateway)
      },
      forMs,
    ),

  freeze: async ({ stage }, { forMs }) => {
    const redis = await stage.redis()
    redis.freeze()
    await wait(forMs)
    redis.thaw()
  },

  flush: world =>
    losingData(world, 'flush', async () => {
      const redis = await world.stage.redis()
      await waitFor(() => redis.command('FLUSHALL'), 30_000, 'Redis to be emptied')
    }),

  empty: (world, fault) => bounceRedis(world, fault, { empty: true }),

  // The append-only file may lack the last second, and gateways cannot know whether it does.
  crash: (world, fault) => bounceRedis(world, fault, {}),

  partition: async ({ stage }, { replica, forMs, way }) => {
    const link = stage.links[replica]
    // The plan draws one of the link's states by name.
    link?.set(way as LinkState)
    await wait(forMs)
    link?.set('open')
  },

  delay: async ({ stage }, { forMs }) => {
    for (const link of stage.links) link.delay(DELAY_MS)
    await wait(forMs)
    for (const link of stage.links) link.delay(0)
  },

  reset: async ({ stage }) => {
    for (const link of stage.links) link.reset()
  },

  stall: async ({ crowd, ledger, bulkDoor }, { forMs }) => {
    crowd.stall()
    const stalled = wait(forMs)
    const batch = Array<string>(BULK_BATCH).fill(BULK_ROOM)
    for (let sent = 0; sent < BULK_EVENTS; sent += BULK_BATCH) {
      await publishAll(bulkDoor, ledger, batch, { padding: BULK_BYTES })
    }
    await stalled
    crowd.resume()
  },

  rolling: async ({ stage, ledger }) => {
    for (const index of stage.gateways.keys()) {
      await stage.bounce(
        index,
        async gateway => {
          const code = await gateway.stop()
          noteEnd(ledger, gateway)
          if (code !== 0) stage.mishaps.push(`replica ${index} exited with ${code} after SIGTERM`)
        },
        0,
      )
    }
  },

  failover: (world, fault) => losingData(world, 'failover', () => failOver(world, fault)),
}

// Two overlapping failovers must not kill and start the same server.
const taken = new WeakSet<RedisServer>()

async function failOver(world: World, fault: Fault): Promise<void> {
  const { stage } = world
  const take = async () => {
    const master = await followed(stage)
    if (!master || taken.has(master)) return undefined
    taken.add(master)
    return master
  }
  // Wait until the old master follows: otherwise no replica would confirm the next master's events.
  const old = await waitFor(take, 40_000, 'a master with two replicas that are up to date')
  try {
    await failOverFrom(old, world, fault)
  } finally {
    taken.delete(old)
  }
}

async function failOverFrom(old: RedisServer, { stage, crowd }: World, { way, forMs }: Fault): Promise<void> {
  const { sentinel } = stage
  if (!sentinel) throw new Error('a failover needs Sentinel')
  const link = linkOf(stage, old)
  // Readers that are offline meanwhile do not see the events that the next master will lack.
  const comeBack = crowd.takeOffline(OFFLINE_SHARE)
  switch (way) {
    case 'asked':
      // When the chosen replica is too slow, Sentinel gives up and does not try again by itself.
      await sentinel.failover().catch(() => sentinel.failover())
      break
    case 'killed':
      await old.kill()
      break
    case 'frozen':
      old.freeze()
      break
    case 'rolled back':
      // From here on, the next master lacks every acknowledged event.
      link.holdReplication()
      await wait(forMs)
      await old.kill()
      break
    case 'split':
      // The old master goes on with the gateways, without its replica and its sentinels.
      link.isolate(true)
      break
    default:
      throw new Error(`no failover is called '${way}'`)
  }
  try {
    if (way !== 'asked') await sentinel.untilMasterIsNot(old)
    if (way === 'split') await wait(forMs)
  } finally {
    link.dropReplication()
    link.isolate(false)
    if (way === 'frozen') old.thaw()
    else if (way === 'killed' || way === 'rolled back') await old.restart()
    comeBack()
  }
}

async function followed(stage: Stage): Promise<RedisServer | undefined> {
  const master = await stage.redis()
  const info = String(await master.command('INFO', 'replication'))
  const upToDate = info.match(/state=online,offset=\d+,lag=[01]\b/g) ?? []
  return /role:master/.test(info) && upToDate.length === stage.links.length - 1 ? master : undefined
}

function linkOf(stage: Stage, redis: RedisServer): Link {
  const link = stage.links[stage.sentinel?.nodes.indexOf(redis) ?? -1]
  if (!link) throw new Error(`no link leads to the Redis on port ${redis.port}`)
  return link
}

function noteEnd({ bearers }: Ledger, { url }: Gateway): void {
  bearers.end(new URL(url).host, performance.now())
}

// One bounce at a time: an overlapping fault would end the server that the other one is starting.
const bounces = new Gate(1)

function bounceRedis(world: World, { kind, forMs }: Fault, how: { empty?: boolean }): Promise<void> {
  const bounce = async () => {
    const redis = await world.stage.redis()
    await redis.kill()
    await wait(forMs)
    await redis.restart(how)
  }
  return bounces.run(() => losingData(world, kind, bounce))
}

async function losingData({ ledger }: World, what: string, act: () => Promise<void>): Promise<void> {
  const from = performance.now()
  try {
    await act()
  } finally {
    ledger.forgive(from, performance.now() + NOTICE_MS, what)
  }
}
