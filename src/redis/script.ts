import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { RedisClient } from './client.js'
import { beforeDeadline } from './deadline.js'

/** A Lua script by its text and digest. */
export class RedisScript {
  readonly #source: string
  readonly #digest: string

  constructor(source: string) {
    this.#source = source
    this.#digest = createHash('sha1').update(source).digest('hex')
  }

  /**
   * Runs the script, and sends its source if the server does not have it.
   * @throws Error  the client's, or one of no answer by `deadline`, in ms of the monotonic clock
   */
  async run(
    client: RedisClient['redis'],
    keys: readonly string[],
    args: readonly (string | number)[],
    deadline: number,
  ): Promise<unknown> {
    try {
      return await beforeDeadline(client.evalsha(this.#digest, keys.length, ...keys, ...args), deadline)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return beforeDeadline(client.eval(this.#source, keys.length, ...keys, ...args), deadline)
    }
  }
}

/** Reads parts of Lua from the folder of a module, and joins them into one script in this order. */
export function loadScript(moduleUrl: string, ...files: string[]): RedisScript {
  return new RedisScript(files.map(file => readFileSync(new URL(file, moduleUrl), 'utf8')).join('\n'))
}
