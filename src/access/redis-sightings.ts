import type { RedisClock } from '../clock.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'
import { runForAccess } from './redis-run.js'
import type { SightingStore } from './sightings.js'

const sightingScript = loadScript(import.meta.url, 'sightings.lua')

/** Sightings in Redis: a credential may be shown to any replica first. */
export class RedisSightings implements SightingStore {
  readonly #link: RedisLink
  readonly #names: RedisNames
  readonly #clock: RedisClock

  constructor(link: RedisLink, names: RedisNames, clock: RedisClock) {
    this.#link = link
    this.#names = names
    this.#clock = clock
  }

  async note(credential: string, until: number): Promise<number> {
    return Number(await this.#run(credential, Math.ceil(Math.min(until, Number.MAX_SAFE_INTEGER))))
  }

  async find(credential: string): Promise<number | null> {
    const seenAt = await this.#run(credential, '')
    return seenAt === '' ? null : Number(seenAt)
  }

  async #run(credential: string, until: number | ''): Promise<string> {
    const sentAt = performance.now()
    const answer = await runForAccess(this.#link, sightingScript, [this.#names.of('seen', credential)], [until])
    // Safe: sightings.lua returns two strings.
    const [now, seenAt] = answer as [string, string]
    this.#clock.observe(Number(now), sentAt)
    return seenAt
  }
}
