import { execFileSync } from 'node:child_process'
import { waitFor } from './deadline.js'
import { freePort } from './ports.js'
import type { RedisOptions, RedisServer } from './redis.js'
import { redisCommand } from './redis-command.js'
import type { Owner } from './scope.js'

const IMAGE = 'redis:7'
const HOW_TO_GET =
  'no redis-server on PATH, and no Docker engine to run one. Install it: ' +
  "'apt-get install redis-server' (Debian, Ubuntu), 'brew install redis' (macOS), 'dnf install redis' (Fedora)"

/**
 * Does what startRedis does, in a container. The data lives in the container: with `appendonly` it survives kill() and restart().
 * @throws Error  when no Docker engine answers: it says how to get a Redis; and for `replicaOf`, which needs a redis-server
 */
export async function startRedisContainer(owner: Owner, options: RedisOptions): Promise<RedisServer> {
  if (options.replicaOf !== undefined) throw new Error(`a replica needs a local redis-server: ${HOW_TO_GET}`)
  // Imported only here: it is slow to load, and only machines without redis-server need it.
  const { GenericContainer } = await import('testcontainers')
  const port = options.port ?? (await freePort())
  const command = ['redis-server', '--save', '', '--appendonly', options.appendonly ? 'yes' : 'no']
  const container = await new GenericContainer(IMAGE)
    .withExposedPorts({ container: 6379, host: port })
    .withCommand([...command, ...(options.args ?? [])])
    .start()
    .catch((cause: unknown) => {
      throw new Error(HOW_TO_GET, { cause })
    })
  owner.teardown(() => container.stop())
  const docker = (...words: string[]) => void execFileSync('docker', [...words, container.getId()], { stdio: 'pipe' })
  const answers = () => redisCommand(port, ['PING'])
  await waitFor(answers, 10_000, `the Redis container on port ${port} to answer`)
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pid: 0,
    command: (...args) => redisCommand(port, args),
    stop: async () => docker('stop'),
    kill: async () => docker('kill'),
    freeze: () => docker('pause'),
    thaw: () => docker('unpause'),
    restart: async ({ empty = false } = {}) => {
      docker('restart')
      if (empty) await redisCommand(port, ['FLUSHALL'])
      await waitFor(answers, 10_000, `the Redis container on port ${port} to answer again`)
    },
  }
}
