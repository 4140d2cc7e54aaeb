import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from './deadline.js'
import { findCommand, OwnedProcess } from './owned-process.js'
import { freePort } from './ports.js'
import { type RedisReply, redisCommand } from './redis-command.js'
import { startRedisContainer } from './redis-container.js'
import type { Owner } from './scope.js'

export interface RedisOptions {
  /** Default: a free port. */
  port?: number
  /** Keeps the data in an append-only file, so that it survives kill() and restart(). Default false. */
  appendonly?: boolean
  /** The port of the primary to replicate. */
  replicaOf?: number
  /** More arguments for redis-server, such as ['--maxmemory', '1mb']. */
  args?: string[]
}

/** A real Redis of the test's own, on 127.0.0.1. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  /** 0 while it is not running. */
  readonly pid: number
  command(...args: string[]): Promise<RedisReply>
  /** Ends it with SIGTERM. */
  stop(): Promise<void>
  /** Ends it with SIGKILL. */
  kill(): Promise<void>
  /** Stops it with SIGSTOP: its connections stay open and nothing answers. */
  freeze(): void
  thaw(): void
  /** Ends it if it runs, and starts it on the same port. Its data is gone unless `appendonly`, and with `empty` in any case. */
  restart(options?: { empty?: boolean }): Promise<void>
}

const START_MS = 10_000
const START_TRIES = 5

/**
 * Starts a Redis without persistence, in a folder of its own, and resolves once it answers. It is gone with its owner.
 * Without redis-server on PATH it runs in a container, if there is a Docker engine.
 * @throws Error  when there is neither: it says how to get one
 */
export async function startRedis(owner: Owner, options: RedisOptions = {}): Promise<RedisServer> {
  if (!findCommand('redis-server')) return startRedisContainer(owner, options)
  for (let tries = 1; ; tries++) {
    try {
      return await startProcess(owner, options, options.port ?? (await freePort()))
    } catch (error) {
      if (options.port !== undefined || tries === START_TRIES) throw error
    }
  }
}

async function startProcess(owner: Owner, options: RedisOptions, port: number): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-redis-'))
  const server = new OwnedProcess({ command: 'redis-server', args: serverArgs(options, port, folder) })
  owner.teardown(async () => {
    await server.kill()
    await rm(folder, { recursive: true, force: true })
  })
  const start = async () => {
    server.start()
    await untilAnswering(server, port)
  }
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return server.pid
    },
    command: (...args) => redisCommand(port, args),
    stop: async () => void (await server.stop()),
    kill: () => server.kill(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    restart: async ({ empty = false } = {}) => {
      await server.stop()
      if (empty) await rm(join(folder, 'appendonlydir'), { recursive: true, force: true })
      await start()
    },
  }
}

function serverArgs({ appendonly = false, replicaOf, args = [] }: RedisOptions, port: number, folder: string) {
  const own = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--daemonize', 'no', '--save', '']
  own.push('--appendonly', appendonly ? 'yes' : 'no', '--repl-diskless-sync-delay', '0')
  if (replicaOf !== undefined) own.push('--replicaof', '127.0.0.1', `${replicaOf}`)
  return [...own, ...args]
}

/** Resolves once the server answers with its own process id: another server on the same port must not pass for ours. */
export async function untilAnswering(server: OwnedProcess, port: number): Promise<void> {
  const pid = server.pid
  const isUp = async () => {
    if (!server.isRunning) return 'ended'
    // While a Redis still loads its data it answers INFO and refuses everything else.
    const info = await redisCommand(port, ['INFO'], 1000)
    return typeof info === 'string' && info.includes(`process_id:${pid}\r`) && !info.includes('loading:1') && 'up'
  }
  const state = await waitFor(isUp, START_MS, `redis-server on port ${port} to answer`)
  if (state === 'ended') throw new Error(`redis-server on port ${port} ended: ${server.lines.slice(-5).join(' / ')}`)
}
