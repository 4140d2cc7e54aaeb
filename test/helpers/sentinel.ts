import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from './deadline.js'
import { OwnedProcess } from './owned-process.js'
import { freePort } from './ports.js'
import { type RedisServer, startRedis, untilAnswering } from './redis.js'
import { redisCommand } from './redis-command.js'
import type { Owner } from './scope.js'

export interface SentinelOptions {
  /** Number of replicas of the master. Default 1. */
  replicas?: number
  /** Number of sentinels; a majority of them is the quorum. Default 3. */
  sentinels?: number
  /** Name of the set. Default 'tidings'. */
  name?: string
  /** A master that is silent for this long counts as down. Default 1000. */
  downAfterMs?: number
  /** More arguments for every redis-server. */
  args?: string[]
  /** The port that a node announces, such as that of a proxy before it. Default: its own. */
  announce?: (port: number) => Promise<number> | number
}

/** A master, its replicas and their sentinels: real processes on 127.0.0.1. */
export interface SentinelSet {
  /** redis+sentinel://127.0.0.1:a,127.0.0.1:b/name */
  readonly url: string
  readonly name: string
  readonly nodes: readonly RedisServer[]
  readonly sentinels: readonly { readonly port: number; readonly process: OwnedProcess }[]
  /** The master, as a majority of the sentinels name it. */
  master(): Promise<RedisServer>
  /** Resolves once a majority of the sentinels name a master other than `old`, and that one accepts writes. */
  untilMasterIsNot(old: RedisServer, ms?: number): Promise<RedisServer>
  /** Asks the sentinels for a failover and resolves with the new master. */
  failover(): Promise<RedisServer>
}

const SET_UP_MS = 20_000

/** Starts a set, and resolves once its sentinels know each other and every replica, after about 3 s. */
export async function startSentinel(owner: Owner, options: SentinelOptions = {}): Promise<SentinelSet> {
  const { replicas = 1, sentinels = 3, name = 'tidings', downAfterMs = 1000, args = [] } = options
  const { announce = (port: number) => port } = options
  const nodes: RedisServer[] = []
  const announced: number[] = []
  while (nodes.length <= replicas) {
    const port = await freePort()
    const shown = await announce(port)
    const own = ['--replica-announce-ip', '127.0.0.1', '--replica-announce-port', `${shown}`, ...args]
    const [master] = announced
    nodes.push(await startRedis(owner, { port, args: own, ...(master === undefined ? {} : { replicaOf: master }) }))
    announced.push(shown)
  }
  await waitFor(() => hasReplicas(nodes[0]!, replicas), SET_UP_MS, 'the replicas to follow the master')

  const quorum = Math.floor(sentinels / 2) + 1
  const watch = { name, masterPort: announced[0]!, quorum, downAfterMs }
  const watchers = await Promise.all(Array.from({ length: sentinels }, () => startWatcher(owner, watch)))
  const ready = async () => {
    for (const { port } of watchers) {
      const state = fields(await redisCommand(port, ['SENTINEL', 'MASTER', name]))
      if (state.get('num-other-sentinels') !== `${sentinels - 1}` || state.get('num-slaves') !== `${replicas}`)
        return false
    }
    return true
  }
  await waitFor(ready, SET_UP_MS, 'the sentinels to know each other and the replicas')

  const master = async () => {
    const votes = await Promise.all(watchers.map(watcher => masterPort(watcher.port, name)))
    const port = votes.find(vote => vote > 0 && votes.filter(other => other === vote).length >= quorum)
    const node = nodes[announced.indexOf(port ?? -1)]
    if (!node) throw new Error(`the sentinels of '${name}' do not agree on a master: ${votes.join(', ')}`)
    return node
  }
  const untilMasterIsNot = (old: RedisServer, ms = SET_UP_MS) =>
    waitFor(
      async () => {
        const next = await master()
        if (next === old) return undefined
        const role = await next.command('ROLE')
        return Array.isArray(role) && role[0] === 'master' ? next : undefined
      },
      ms,
      'another master',
    )
  return {
    url: `redis+sentinel://${watchers.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${name}`,
    name,
    nodes,
    sentinels: watchers,
    master,
    untilMasterIsNot,
    failover: async () => {
      const old = await master()
      const ask = async () => (await redisCommand(watchers[0]!.port, ['SENTINEL', 'FAILOVER', name])) === 'OK'
      await waitFor(ask, SET_UP_MS, 'the sentinel to begin a failover')
      return untilMasterIsNot(old)
    },
  }
}

interface Watch {
  name: string
  masterPort: number
  quorum: number
  downAfterMs: number
}

async function startWatcher(owner: Owner, watch: Watch) {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'tidings-sentinel-'))
  const file = join(folder, 'sentinel.conf')
  await writeFile(file, configuration(watch, port, folder))
  const process = new OwnedProcess({ command: 'redis-server', args: [file, '--sentinel'] })
  owner.teardown(async () => {
    await process.kill()
    await rm(folder, { recursive: true, force: true })
  })
  process.start()
  await untilAnswering(process, port)
  return { port, process }
}

function configuration({ name, masterPort, quorum, downAfterMs }: Watch, port: number, folder: string): string {
  return [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor ${name} 127.0.0.1 ${masterPort} ${quorum}`,
    `sentinel down-after-milliseconds ${name} ${downAfterMs}`,
    `sentinel failover-timeout ${name} 6000`,
    '',
  ].join('\n')
}

async function hasReplicas(master: RedisServer, count: number): Promise<boolean> {
  const info = String(await master.command('INFO', 'replication'))
  return (info.match(/state=online/g) ?? []).length === count
}

async function masterPort(port: number, name: string): Promise<number> {
  try {
    const reply = await redisCommand(port, ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name], 1000)
    return Array.isArray(reply) ? Number(reply[1]) : 0
  } catch {
    return 0
  }
}

function fields(reply: unknown): Map<unknown, unknown> {
  const list: unknown[] = Array.isArray(reply) ? reply : []
  return new Map(list.flatMap((key, index) => (index % 2 === 0 ? [[key, list[index + 1]] as const] : [])))
}
