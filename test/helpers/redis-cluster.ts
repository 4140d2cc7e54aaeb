import { waitFor } from './deadline.js'
import { type RedisServer, startRedis } from './redis.js'
import type { Owner } from './scope.js'

export interface ClusterOptions {
  /** Number of primaries, which share the slots evenly. Default 3. */
  primaries?: number
  /** Number of replicas of the primary that owns `slot`. Default 0. */
  replicas?: number
  /** The slot whose owner has the replicas. Default 0. */
  slot?: number
  /** How long a node must be silent to be called down. Default 1500. */
  nodeTimeoutMs?: number
  args?: string[]
}

/** A cluster of real processes on 127.0.0.1. */
export interface RedisCluster {
  /** redis+cluster://127.0.0.1:a,127.0.0.1:b,... */
  readonly url: string
  readonly nodes: readonly RedisServer[]
  /** The owner of the slot, as most nodes name it. */
  ownerOf(slot: number): Promise<RedisServer>
  /** Moves a slot with all its keys to another node, as `redis-cli --cluster reshard` does. */
  moveSlot(slot: number, to: RedisServer): Promise<void>
}

const SLOTS = 16_384
const SET_UP_MS = 20_000

/** Starts a cluster, and resolves once it serves every slot, after about 3 s. */
export async function startCluster(owner: Owner, options: ClusterOptions = {}): Promise<RedisCluster> {
  const { primaries = 3, replicas = 0, slot = 0, nodeTimeoutMs = 1_500, args = [] } = options
  const own = ['--cluster-enabled', 'yes', '--cluster-node-timeout', `${nodeTimeoutMs}`, ...args]
  const nodes: RedisServer[] = []
  while (nodes.length < primaries + replicas) nodes.push(await startRedis(owner, { args: own }))
  const [first, ...others] = nodes
  for (const node of others) await node.command('CLUSTER', 'MEET', '127.0.0.1', `${first!.port}`)
  const share = Math.ceil(SLOTS / primaries)
  for (const [i, node] of nodes.slice(0, primaries).entries()) {
    const count = Math.min(share, SLOTS - i * share)
    await node.command('CLUSTER', 'ADDSLOTS', ...Array.from({ length: count }, (_, n) => `${i * share + n}`))
  }
  const owning = nodes[Math.floor(slot / share)]!
  const owningId = String(await owning.command('CLUSTER', 'MYID'))
  for (const node of nodes.slice(primaries)) {
    const replicate = async () => (await node.command('CLUSTER', 'REPLICATE', owningId)) === 'OK'
    await waitFor(replicate, SET_UP_MS, 'a replica to know its primary')
  }
  for (const node of nodes) {
    const isUp = async () => String(await node.command('CLUSTER', 'INFO')).includes('cluster_state:ok')
    await waitFor(isUp, SET_UP_MS, 'the cluster to be up')
  }
  const isFollowed = async () =>
    (String(await owning.command('INFO', 'replication')).match(/state=online/g) ?? []).length === replicas
  await waitFor(isFollowed, SET_UP_MS, 'the replicas to follow')

  const ownerOf = (of: number) =>
    waitFor(() => agreedOwner(nodes, of), SET_UP_MS, `the nodes to agree on the owner of slot ${of}`)
  return {
    url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    ownerOf,
    moveSlot: async (moved, to) => {
      const from = await ownerOf(moved)
      const [fromId, toId] = [await from.command('CLUSTER', 'MYID'), await to.command('CLUSTER', 'MYID')].map(String)
      await to.command('CLUSTER', 'SETSLOT', `${moved}`, 'IMPORTING', fromId!)
      await from.command('CLUSTER', 'SETSLOT', `${moved}`, 'MIGRATING', toId!)
      for (;;) {
        const keys = await from.command('CLUSTER', 'GETKEYSINSLOT', `${moved}`, '100')
        if (!Array.isArray(keys) || keys.length === 0) break
        await from.command('MIGRATE', '127.0.0.1', `${to.port}`, '', '0', '5000', 'KEYS', ...keys.map(String))
      }
      for (const node of [to, from]) await node.command('CLUSTER', 'SETSLOT', `${moved}`, 'NODE', toId!)
    },
  }
}

async function agreedOwner(nodes: readonly RedisServer[], slot: number): Promise<RedisServer | undefined> {
  const running = nodes.filter(({ pid }) => pid > 0)
  const named = await Promise.all(running.map(node => namedOwner(node, slot)))
  const heard = named.filter(port => port !== undefined)
  const [port] = heard
  const isAgreed = heard.length > nodes.length / 2 && heard.every(each => each === port)
  return isAgreed ? nodes.find(node => node.port === port) : undefined
}

// Undefined when the node does not answer.
async function namedOwner(node: RedisServer, slot: number): Promise<number | undefined> {
  try {
    const ranges = await node.command('CLUSTER', 'SLOTS')
    if (!Array.isArray(ranges)) return undefined
    for (const range of ranges) {
      if (!Array.isArray(range) || Number(range[0]) > slot || Number(range[1]) < slot) continue
      const [, , primary] = range
      return Array.isArray(primary) ? Number(primary[1]) : undefined
    }
  } catch {}
  return undefined
}
