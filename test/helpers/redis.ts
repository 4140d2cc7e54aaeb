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
  /** A free one when left out. */
  port?: number
  /** Keep the data in an append-only file, so that it is there again after kill() and restart(). Default false. */
  appendonly?: boolean
  /** The port of the master to replicate. */
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
  /** Ends it in good order (SIGTERM). */
  stop(): Promise<void>
  /** Ends it at once (SIGKILL). */
  kill(): Promise<void>
  /** Stops it from running (SIGSTOP): its connections stay open and nothing answers. */
  freeze(): void
  thaw(): void
  /** Ends it if it runs, and starts it on the same port: empty, unless `appendonly`, or if `empty` says so. */
  restart(options?: { empty?: boolean }): Promise<void>
}

const START_MS = 10_000
const START_TRIES = 5

/**
 * Starts a Redis that answers when this resolves, without persistence and with a folder of its own; gone with the owner.
 * Without redis-server on PATH it is a container, if there is a Docker engine.
 * @throws Error  when there is neither, saying how to get one
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

/** Asks for the process id too: a server of somebody else's on the same port must not pass for ours. */
export async function untilAnswering(server: OwnedProcess, port: number): Promise<void> {
  const pid = server.pid
  const isUp = async () => {
    if (!server.isRunning) return 'ended'
    // It tells of itself while it still reads its data, and refuses everything else.
    const info = await redisCommand(port, ['INFO'], 1000)
    return typeof info === 'string' && info.includes(`process_id:${pid}\r`) && !info.includes('loading:1') && 'up'
  }
  const state = await waitFor(isUp, START_MS, `redis-server on port ${port} to answer`)
  if (state === 'ended') throw new Error(`redis-server on port ${port} ended: ${server.lines.slice(-5).join(' / ')}`)
}
