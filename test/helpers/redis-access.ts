import { redisStores } from '../../src/access/redis.js'
import type { AccessStores } from '../../src/access/stores.js'
import { RedisClock } from '../../src/clock.js'
import { RedisLink } from '../../src/redis/link.js'
import { RedisNames } from '../../src/redis/names.js'
import type { RedisServer } from './redis.js'
import type { Owner } from './scope.js'

/** The access stores of one replica, on a Redis connection of its own. */
export interface RedisAccess extends AccessStores {
  readonly link: RedisLink
  readonly clock: RedisClock
  /** The answers to all scripts so far. */
  readonly answers: readonly unknown[]
}

/** Connects the access stores of one replica to Redis; they close with their owner. */
export async function connectAccess(
  owner: Owner,
  url: string,
  prefix: string,
  lifeMs = 86_400_000,
): Promise<RedisAccess> {
  const link = new RedisLink({ url })
  owner.teardown(() => link.close())
  link.connect({ subscriber: false })
  await link.whenReady(10_000)
  const answers: unknown[] = []
  const run = link.run.bind(link)
  link.run = async (...args) => {
    const answer = await run(...args)
    answers.push(answer)
    return answer
  }
  const clock = new RedisClock()
  return { link, clock, answers, ...redisStores(link, new RedisNames(prefix, 0), clock, lifeMs) }
}

/** Puts `count` made-up users into the set of revocations: one revoked per millisecond, from `since` on (ms since 1970). */
export async function fillRevocations(redis: RedisServer, key: string, count: number, since: number): Promise<void> {
  const script = `
    local sum = 0
    for i = ARGV[1], ARGV[2] do
      local at = tonumber(ARGV[3]) + i
      local hash = i * 2654435761 % 2 ^ 32
      redis.call('ZADD', KEYS[1], string.format('%.0f', at), string.format('%08x%08x', i, hash))
      sum = (sum + at + i) % 2 ^ 40
    end
    local known = redis.call('ZSCORE', KEYS[1], 'sum')
    sum = (sum + (known and -1 - known or 0)) % 2 ^ 40
    redis.call('ZADD', KEYS[1], string.format('%.0f', -1 - sum), 'sum')`
  for (let i = 1; i <= count; i += 10_000) {
    const to = Math.min(count, i + 9_999)
    await redis.command('EVAL', script, '1', key, `${i}`, `${to}`, `${since}`)
  }
}
