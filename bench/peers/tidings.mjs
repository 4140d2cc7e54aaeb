// @ts-check
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { freePort, ready, SERVER_CORE, start } from '../processes.mjs'
import { profileArgs } from './node-peers.mjs'
import { redisUnavailable, startRedis } from './redis.mjs'

const PROGRAM = fileURLToPath(new URL('../../dist/src/server.js', import.meta.url))

export const tidings = gateway('tidings', 'memory')
export const tidingsRedis = gateway('tidings (redis)', 'redis')

/**
 * The whole product as it is built, with Fastify, hooks, metrics, history and its log (to a file). Only its limits on connections
 * and rates are raised.
 * @param {string} name
 * @param {'memory' | 'redis'} adapter
 * @returns {import('./peers.mjs').Peer}
 */
function gateway(name, adapter) {
  return {
    name,
    protocol: 'tidings',
    adapter,
    abilities: adapter === 'redis' ? ['batch', 'resume', 'rooms', 'redis'] : ['batch', 'resume', 'rooms'],
    unavailable() {
      if (!existsSync(PROGRAM)) return 'the gateway is not built (npm run build)'
      return adapter === 'redis' ? redisUnavailable() : undefined
    },
    async start({ folder, env = {}, replicas = 1, profile }) {
      const redis = adapter === 'redis' ? await startRedis(folder) : undefined
      const ports = await Promise.all(Array.from({ length: replicas }, freePort))
      const processes = ports.map((port, index) =>
        start({
          name: replicas === 1 ? 'tidings' : `tidings-${'ab'[index] ?? index}`,
          command: process.execPath,
          args: [...profileArgs(profile), PROGRAM],
          env: {
            NODE_ENV: 'production',
            HOST: '127.0.0.1',
            PORT: String(port),
            SSE_ADAPTER: adapter,
            MAX_CONNECTIONS: '20000',
            RATE_LIMIT_PUBLISH: '0',
            RATE_LIMIT_ROOMS: '0',
            RATE_LIMIT_CONNECT: '0',
            ...(redis && { REDIS_URL: redis.url }),
            ...env,
          },
          core: SERVER_CORE,
          folder,
        }),
      )
      await Promise.all(processes.map((running, index) => ready(running, () => isReady(ports[index] ?? 0))))
      return {
        ports,
        processes,
        helpers: redis ? [redis.running] : [],
        ...(redis && { redisUrl: redis.url }),
        async stop() {
          await Promise.all(processes.map(running => running.stop()))
          await redis?.running.stop()
        },
      }
    },
  }
}

/** @param {number} port */
async function isReady(port) {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`)
  return answer.ok
}
