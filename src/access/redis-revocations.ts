import { MAX_STEP_BACK_MS, type RedisClock } from '../clock.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'
import { runForAccess } from './redis-run.js'
import { type Digest, formatUserKey, userKeyOf } from './revocation-table.js'
import { type RevocationStore, Revocations } from './revocations.js'

const script = loadScript(import.meta.url, 'revocations.lua')

const PAGE_USERS = 5_000
const PUT_USERS = 1_000
// Each reading begins this long before the last one: lost commands and failovers lose the newest entries, and clocks of two servers differ.
const OVERLAP_MS = 600_000
// A user who is revoked between the answer and the comparison makes the sets differ once.
const RECENT_TRIES = 2
const READY_TIMEOUT_MS = 1_500

/** The set as each call describes it: `now` is the time of the call, `oldest` that of the oldest possible entry, in ms since 1970. */
interface Head extends Digest {
  readonly now: number
  readonly oldest: number
}

/**
 * Revoked users in Redis, for as long as their credentials could live.
 *
 *   unread  `#learnedAt` is null: the next `learn` reads the whole set                                                  -> read
 *   read    `#learnedAt` is set: the next `learn` reads the changes since then, and the whole set only if the two still differ
 *
 * `#readWhole` is null except from a `learn` that read the whole set to the next `restore` or `learn`.
 */
export class RedisRevocations implements RevocationStore {
  readonly known: Revocations
  readonly isShared = true
  readonly #link: RedisLink
  readonly #key: string
  readonly #clock: RedisClock
  readonly #lifeMs: number
  /** When the last complete reading began, in ms since 1970 by the clock of Redis. */
  #learnedAt: number | null = null
  /** The table's pass of the last reading. */
  #pass = 0
  /** True until `learn` resolves with it: a reading that fails halfway does not lose its news. */
  #hasNews = false
  /** True until `restore` resolves with it. `learn` puts back, too. */
  #wasRestored = false
  /** The head of the set as the whole reading found it. */
  #readWhole: Head | null = null

  constructor(link: RedisLink, names: RedisNames, clock: RedisClock, lifeMs: number) {
    this.#link = link
    this.#key = names.of('revocations')
    this.#clock = clock
    this.#lifeMs = lifeMs
    this.known = new Revocations(clock, lifeMs)
  }

  async revoke(userId: string): Promise<number> {
    const user = formatUserKey(userKeyOf(userId))
    const [, answer] = await this.#run('revoke', user, this.#clock.latest, MAX_STEP_BACK_MS)
    const at = Number(answer)
    this.known.note(userId, at)
    return at
  }

  async ask(userId: string): Promise<void> {
    await this.#link.whenReady(READY_TIMEOUT_MS).catch(() => {})
    const [, at] = await this.#run('ask', formatUserKey(userKeyOf(userId)))
    if (at !== '') this.known.note(userId, Number(at))
  }

  async learn(): Promise<boolean> {
    await this.#link.whenReady(READY_TIMEOUT_MS).catch(() => {})
    this.#readWhole = null
    if (!(await this.#catchUp())) this.#readWhole = await this.#read(0)
    const hasNews = this.#hasNews
    this.#hasNews = false
    return hasNews
  }

  async restore(): Promise<boolean> {
    const head = this.#readWhole
    this.#readWhole = null
    if (head !== null && (await this.#putBack(0)) === null && !this.#agrees(head)) await this.#mend()
    const wasRestored = this.#wasRestored
    this.#wasRestored = false
    return wasRestored
  }

  // Reads the changes since the last time, and puts back entries that Redis lost. Resolves with `false` if the sets still differ.
  async #catchUp(): Promise<boolean> {
    if (this.#learnedAt === null) return false
    for (let tries = 0; tries < RECENT_TRIES; tries++) {
      const since = this.#learnedAt - OVERLAP_MS
      const head = await this.#read(since)
      if (this.#agrees((await this.#putBack(since)) ?? head)) return true
    }
    return false
  }

  // Notes every user who was revoked at `since` or later; resolves with the set's head at the end.
  async #read(since: number): Promise<Head> {
    const { table } = this.known
    this.#pass = table.beginPass()
    let [head, page] = await this.#page(Math.max(0, Math.floor(since)), '')
    const { now, count } = head
    table.reserve(count)
    for (;;) {
      const last = lastOf(page)
      // The next page is asked for before this one is taken in, so that Redis and this replica work at the same time.
      const next = last === null ? null : this.#page(last.at, last.user)
      this.#take(page)
      if (next === null) break
      ;[head, page] = await next
    }
    table.prune(head.oldest)
    this.#learnedAt = now
    return head
  }

  #page(from: number, last: string): Promise<[Head, string]> {
    return this.#run('page', from, last, PAGE_USERS)
  }

  // 'user,at,user,at,...'
  #take(page: string): void {
    const { table } = this.known
    for (let i = 0; i < page.length; ) {
      const comma = page.indexOf(',', i)
      const end = page.indexOf(',', comma + 1)
      const next = end < 0 ? page.length : end
      // A member of another length was not written by a replica.
      if (comma - i === 16) {
        const [high, low] = [hexAt(page, i), hexAt(page, i + 8)]
        if (table.set(high, low, wholeNumber(page, comma + 1, next), this.#pass)) this.#hasNews = true
      }
      i = next + 1
    }
  }

  // Puts back entries since `since` that Redis lost. Resolves with the set's head afterwards, or with `null` if no entry was lost.
  async #putBack(since: number): Promise<Head | null> {
    let head: Head | null = null
    let batch: (string | number)[] = []
    const send = async () => {
      const [answered, news] = await this.#run('put', ...batch)
      head = answered
      if (Number(news) > 0) this.#wasRestored = true
      batch = []
    }
    for (const entry of this.known.table.unseen(since, this.#pass)) {
      batch.push(...entry)
      if (batch.length >= 2 * PUT_USERS) await send()
    }
    if (batch.length > 0) await send()
    return head
  }

  #agrees({ count, sum }: Head): boolean {
    const { digest } = this.known.table
    return digest.count === count && digest.sum === sum
  }

  // If all entries agree and only the sum is wrong, another writer changed the set.
  async #mend(): Promise<void> {
    const [head] = await this.#page(Number.MAX_SAFE_INTEGER, '')
    const { digest } = this.known.table
    if (head.count === digest.count && head.sum !== digest.sum) {
      await this.#run('mend', head.count, head.sum, digest.sum)
    }
  }

  async #run(op: string, ...args: (string | number)[]): Promise<[Head, string]> {
    const sentAt = performance.now()
    // Safe: revocations.lua returns five strings.
    const answer = (await runForAccess(this.#link, script, [this.#key], [this.#lifeMs, op, ...args])) as string[]
    const [now, oldest, count, sum] = answer.slice(0, 4).map(Number) as [number, number, number, number]
    this.#clock.observe(now, sentAt)
    return [{ now, oldest, count, sum }, answer[4]!]
  }
}

// These two parse by hand: slices of a string for each of a million users took as long as all other work.
function hexAt(text: string, from: number): number {
  let number = 0
  for (let i = from; i < from + 8; i++) {
    const code = text.charCodeAt(i)
    number = (number << 4) | (code < 58 ? code - 48 : code - 87)
  }
  return number >>> 0
}

function wholeNumber(text: string, from: number, to: number): number {
  let number = 0
  for (let i = from; i < to; i++) number = number * 10 + text.charCodeAt(i) - 48
  return number
}

function lastOf(page: string): { user: string; at: number } | null {
  if (page === '') return null
  const comma = page.lastIndexOf(',')
  return { user: page.slice(page.lastIndexOf(',', comma - 1) + 1, comma), at: Number(page.slice(comma + 1)) }
}
