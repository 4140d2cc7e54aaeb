// @ts-check
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { accepts, freePort, ready, SERVER_CORE, start } from '../processes.mjs'
import { redisUnavailable, startRedis } from './redis.mjs'

export const socketIo = nodePeer('socket.io', { protocol: 'socket.io', program: 'socket-io.mjs', needs: 'socket.io' })
export const socketIoRedis = nodePeer('socket.io (redis)', {
  protocol: 'socket.io',
  program: 'socket-io.mjs',
  needs: '@socket.io/redis-adapter',
  adapter: 'redis',
})
export const plainNode = nodePeer('plain Node', { protocol: 'plain', program: 'plain-node.mjs' })
export const betterSse = nodePeer('better-sse', { protocol: 'plain', program: 'better-sse.mjs', needs: 'better-sse' })
export const fastifySseV2 = nodePeer('fastify-sse-v2', {
  protocol: 'plain',
  program: 'fastify-sse-v2.mjs',
  needs: 'fastify-sse-v2',
})

/**
 * A peer that is a small Node program in servers/, with `GET /stream` and `POST /publish`.
 * @param {string} name
 * @param {{ protocol: 'plain' | 'socket.io', program: string, needs?: string, adapter?: 'memory' | 'redis' }} spec
 * @returns {import('./peers.mjs').Peer}
 */
function nodePeer(name, { protocol, program, needs, adapter = 'memory' }) {
  return {
    name,
    protocol,
    adapter,
    abilities: adapter === 'redis' ? ['rooms', 'redis'] : ['rooms'],
    unavailable() {
      if (needs !== undefined && !isInstalled(needs)) return `the package ${needs} is not installed (npm ci in bench/)`
      return adapter === 'redis' ? redisUnavailable() : undefined
    },
    async start({ folder, profile }) {
      const redis = adapter === 'redis' ? await startRedis(folder) : undefined
      const port = await freePort()
      const running = start({
        name: name.replaceAll(/[^a-z0-9-]/g, '-'),
        command: process.execPath,
        args: [...profileArgs(profile), fileURLToPath(new URL(`./servers/${program}`, import.meta.url))],
        env: { PORT: String(port), NODE_ENV: 'production', ...(redis && { REDIS_URL: redis.url }) },
        core: SERVER_CORE,
        folder,
      })
      await ready(running, () => accepts(port))
      return {
        ports: [port],
        processes: [running],
        helpers: redis ? [redis.running] : [],
        ...(redis && { redisUrl: redis.url }),
        async stop() {
          await running.stop()
          await redis?.running.stop()
        },
      }
    },
  }
}

/** @param {string | undefined} folder */
export function profileArgs(folder) {
  return folder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`]
}

/** @param {string} name */
function isInstalled(name) {
  return existsSync(new URL(`../node_modules/${name}/package.json`, import.meta.url))
}
