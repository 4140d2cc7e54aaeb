import { randomFillSync } from 'node:crypto'
import { BusUnavailable } from '../failures.js'
import { answerDeadline } from '../redis/deadline.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import type { RedisScript } from '../redis/script.js'
import { throwAsBusError } from './redis-failure.js'

const MOVED_TRIES = 4

/** The number of keys that a script gets before those of its request. */
export const COUNTER_KEYS = 2

/** The keys and arguments of a script, besides the counter and its life. */
export interface ScriptRequest {
  readonly keys: readonly string[]
  readonly args: readonly (string | number)[]
}

/**
 * Runs scripts on the bus's counter in Redis (counter.lua). Its keys belong to a life, which ends when Redis forgets. A script is sent for
 * the newest life that was seen. If another life has begun, the script only names it, and is sent again for it.
 */
export class RedisCounter {
  readonly #link: RedisLink
  readonly #names: RedisNames
  #life = ''

  constructor(link: RedisLink, names: RedisNames) {
    this.#link = link
    this.#names = names
  }

  /**
   * Runs a script for the current life and resolves with its answer after the status. However often the script is sent, the answer must
   * come by `deadline`, in ms of the monotonic clock.
   * @throws BusUnavailable, BusUncertain
   */
  async run(
    script: RedisScript,
    requestFor: (life: string) => ScriptRequest,
    deadline = answerDeadline(),
  ): Promise<unknown[]> {
    for (let tries = 0; tries < MOVED_TRIES && performance.now() < deadline; tries++) {
      const life = this.#life
      const { keys, args } = requestFor(life)
      const allKeys = [this.#names.counter, this.#names.rooms(life), ...keys]
      // Safe: every script that is sent for a life returns an array that begins with a status.
      const answer = (await this.#run(script, allKeys, [freshName(), life, ...args], deadline)) as [
        string,
        ...unknown[],
      ]
      if (answer.shift() === 'ok') return answer
      this.#life = String(answer[0])
    }
    throw new BusUnavailable('the counter in Redis keeps being replaced')
  }

  /** Runs a script for any life; resolves with its answer after the life. Errors as `run`. */
  async runInAny(script: RedisScript, args: readonly (string | number)[]): Promise<unknown[]> {
    // Safe: such a script returns an array that begins with the life.
    const answer = (await this.#run(script, [this.#names.counter], [freshName(), ...args])) as [string, ...unknown[]]
    const [life, ...rest] = answer
    this.#life = life
    return rest
  }

  #run(...asked: Parameters<RedisLink['run']>): Promise<unknown> {
    return this.#link.run(...asked).catch(throwAsBusError)
  }
}

// Every call takes a fresh name along and hardly any is used, so the random generator is asked for many at a time.
const NAME_BYTES = 6
const spare = Buffer.alloc(256 * NAME_BYTES)
let nextName = spare.length

// A name for a life or an epoch, should one begin: 48 random bits.
function freshName(): string {
  if (nextName === spare.length) {
    randomFillSync(spare)
    nextName = 0
  }
  const name = spare.readUIntBE(nextName, NAME_BYTES)
  nextName += NAME_BYTES
  return name.toString(36).padStart(10, '0')
}
