import { RedisSightings, RedisTickets } from '../../src/auth/redis-access.js'
import { RedisRevocations } from '../../src/auth/redis-revocations.js'
import { RedisClock } from '../../src/clock.js'
import { RedisLink } from '../../src/redis/link.js'
import { RedisNames } from '../../src/redis/names.js'
import type { Owner } from './scope.js'

/** What one replica shares about access, on a connection of its own. */
export interface RedisAccess {
  readonly link: RedisLink
  readonly clock: RedisClock
  readonly tickets: RedisTickets
  readonly revocations: RedisRevocations
  readonly sightings: RedisSightings
  /** What was answered to each script so far. */
  readonly answers: readonly unknown[]
}

/** Connects a replica's access to Redis; gone with its owner. */
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
  const names = new RedisNames(prefix)
  const clock = new RedisClock()
  return {
    link,
    clock,
    answers,
    tickets: new RedisTickets(link, names),
    revocations: new RedisRevocations(link, names, clock, lifeMs),
    sightings: new RedisSightings(link, names, clock),
  }
}
