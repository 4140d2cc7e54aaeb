import { isIP } from 'node:net'
import { Redis } from 'ioredis'
import type { RedisAddress } from './url.js'

/** A server's address. */
export interface RedisHost {
  readonly host: string
  readonly port: number
}

// A server that does not answer must not hold up the others for long.
const ASK_TIMEOUT_MS = 1_500

/** Finds the server that takes writes. The URL of a Sentinel set or a cluster only names servers that know it. */
export class RedisLocator {
  readonly #address: RedisAddress
  readonly #slotKey: string
  // The Sentinels or nodes to ask: those of the URL, and those learned since.
  #known: readonly RedisHost[]

  constructor(address: RedisAddress, slotKey: string) {
    this.#address = address
    this.#slotKey = slotKey
    this.#known = address.hosts
  }

  /**
   * The server that takes writes, as far as the Sentinels or nodes know.
   * @throws Error  none of them knows it; the message says why, without credentials
   */
  async locate(): Promise<RedisHost> {
    if (this.#address.kind === 'single') return this.#address.hosts[0]!
    return this.#address.kind === 'sentinel' ? this.#askSentinels() : this.#askCluster()
  }

  // Asks all of them, because a Sentinel that was cut off still names the old primary. The newest configuration counts.
  async #askSentinels(): Promise<RedisHost> {
    const { name, sentinelPassword } = this.#address
    const ask = (at: RedisHost) =>
      this.#ask(at, { password: sentinelPassword }, async sentinel => {
        const server = await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name!)
        if (!Array.isArray(server)) throw new Error(`no primary is called '${name}' there`)
        const fields = (await sentinel.call('SENTINEL', 'MASTER', name!)) as unknown[] // names and values in turn
        const others = (await sentinel.call('SENTINEL', 'SENTINELS', name!)) as unknown[][] // the same, for each
        const epoch = Number(fieldOf(fields, 'config-epoch'))
        return { server: { host: String(server[0]), port: Number(server[1]) }, epoch, others: others.map(hostOf) }
      })
    const { answers, error } = await settle(this.#known.map(ask))
    answers.sort((a, b) => b.epoch - a.epoch)
    const [newest] = answers
    if (newest === undefined) throw new Error(`no Sentinel tells where '${name}' is: ${error}`)
    this.#learn(newest.others)
    return newest.server
  }

  // Asks one node after the other until one answers, because any healthy node knows. A node that fails moves to the end of the list.
  async #askCluster(): Promise<RedisHost> {
    const { username, password } = this.#address
    let problem = ''
    for (const at of this.#known) {
      try {
        return await this.#ask(at, { username, password }, async node => {
          // A node that was cut off from the others still calls itself the owner of its slots.
          const info = String(await node.call('CLUSTER', 'INFO'))
          if (!info.includes('cluster_state:ok')) throw new Error('the cluster is down there')
          const slot = Number(await node.call('CLUSTER', 'KEYSLOT', this.#slotKey))
          // From, to, the primary, its replicas; of each: address, port, id.
          const ranges = (await node.call('CLUSTER', 'SLOTS')) as [number, number, ...unknown[][]][]
          const range = ranges.find(([from, to]) => from <= slot && slot <= to)
          if (range === undefined) throw new Error(`no node has slot ${slot}`)
          const hosts = ranges.flatMap(([, , ...nodes]) => nodes.map(each => nodeOf(each, at)))
          this.#learn(hosts)
          return nodeOf(range[2]!, at)
        })
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error)
        this.#known = [...this.#known.slice(1), this.#known[0]!]
      }
    }
    throw new Error(`no node of the cluster tells where to go: ${problem}`)
  }

  // The hosts of the URL stay: a host name may always lead to a living node.
  #learn(hosts: readonly RedisHost[]): void {
    const { hosts: given } = this.#address
    const unique = new Map([...given, ...hosts].map(each => [`${each.host} ${each.port}`, each]))
    this.#known = [...unique.values()]
  }

  async #ask<T>(
    at: RedisHost,
    credentials: { username?: string | undefined; password?: string | undefined },
    question: (client: Redis) => Promise<T>,
  ): Promise<T> {
    const { tls } = this.#address
    const { username, password } = credentials
    const client = new Redis({
      ...at,
      ...(tls ? { tls: isIP(at.host) === 0 ? { servername: at.host } : {} } : {}),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      protocol: 2,
      connectTimeout: ASK_TIMEOUT_MS,
      commandTimeout: ASK_TIMEOUT_MS,
      disconnectTimeout: 0,
      retryStrategy: () => null,
      enableReadyCheck: false,
      disableClientInfo: true,
      connectionName: 'tidings-locator',
    })
    let why: Error | null = null
    client.on('error', (error: Error) => {
      why ??= error
    })
    try {
      return await question(client)
    } catch (error) {
      // If no connection could be made, the command's own error says only that it is closed.
      throw new Error(`${at.host}:${at.port}: ${messageOf(why ?? error)}`)
    } finally {
      client.disconnect()
    }
  }
}

async function settle<T>(asked: Promise<T>[]): Promise<{ answers: T[]; error: string }> {
  const outcomes = await Promise.allSettled(asked)
  const answers = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const failed = outcomes.find(outcome => outcome.status === 'rejected')
  return { answers, error: messageOf(failed?.reason) }
}

function fieldOf(fields: readonly unknown[], name: string): unknown {
  return fields[fields.indexOf(name) + 1]
}

function hostOf(fields: readonly unknown[]): RedisHost {
  return { host: String(fieldOf(fields, 'ip')), port: Number(fieldOf(fields, 'port')) }
}

// A node that does not know its own address has the one at which it was asked.
function nodeOf([host, port]: readonly unknown[], asked: RedisHost): RedisHost {
  return { host: typeof host === 'string' && host !== '' && host !== '?' ? host : asked.host, port: Number(port) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
