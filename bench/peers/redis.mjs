// @ts-check
import { hasCommand } from '../machine.mjs'
import { accepts, freePort, LOAD_CORE, ready, start } from '../processes.mjs'

/** The reason why there is no Redis, or nothing. */
export function redisUnavailable() {
  return hasCommand('redis-server') ? undefined : 'redis-server is not installed'
}

/**
 * Starts an empty Redis on a free port, which writes nothing to disk. It runs on the load generator's core: the server has its
 * core for itself.
 * @param {string} folder
 */
export async function startRedis(folder) {
  const port = await freePort()
  const running = start({
    name: 'redis',
    command: 'redis-server',
    args: ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder],
    core: LOAD_CORE,
    folder,
  })
  await ready(running, () => accepts(port))
  return { running, url: `redis://127.0.0.1:${port}` }
}
