import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { RedisClient } from './client.js'

/** A Lua script by its text and digest. */
export class RedisScript {
  readonly #source: string
  readonly #digest: string

  constructor(source: string) {
    this.#source = source
    this.#digest = createHash('sha1').update(source).digest('hex')
  }

  /** Runs it, and loads it first where the server does not have it. Errors are the client's. */
  async run(
    client: RedisClient['redis'],
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    try {
      return await client.evalsha(this.#digest, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return client.eval(this.#source, keys.length, ...keys, ...args)
    }
  }
}

/** Reads scripts that stand beside a module and joins them, first to last. */
export function loadScript(moduleUrl: string, ...files: string[]): RedisScript {
  return new RedisScript(files.map(file => readFileSync(new URL(file, moduleUrl), 'utf8')).join('\n'))
}
