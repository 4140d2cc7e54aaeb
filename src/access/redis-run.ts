import { AccessUnavailable } from '../failures.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisScript } from '../redis/script.js'

/** Runs a script. @throws AccessUnavailable  it did not run, or did not answer in time */
export async function runForAccess(
  link: RedisLink,
  script: RedisScript,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await link.run(script, keys, args)
  } catch (error) {
    const unavailable = new AccessUnavailable('no answer from Redis')
    unavailable.cause = error
    throw unavailable
  }
}
