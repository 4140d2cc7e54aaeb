// @ts-check
import { hasCommand } from '../machine.mjs'
import { accepts, freePort, LOAD_CORE, ready, start } from '../processes.mjs'

/** Why there is no Redis, or nothing. */
export function redisUnavailable() {
  return hasCommand('redis-server') ? undefined : 'redis-server is not installed'
}

/**
 * Starts an empty Redis that writes nothing to disk, on a free port, on the load generator's core: the server's core is the
 * server's alone.
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
