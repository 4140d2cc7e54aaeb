import type { RedisClock } from '../clock.js'
import { AccessUnavailable } from '../errors.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript, type RedisScript } from '../redis/script.js'
import type { SightingStore } from './sightings.js'
import {
  FIRST_USE_MS,
  type Kept,
  MAX_SESSION_MS,
  type MadeTicket,
  type Taken,
  type Ticket,
  type TicketRequest,
  type TicketStore,
} from './tickets.js'

const ticketScript = loadScript(import.meta.url, 'tickets.lua')
const sightingScript = loadScript(import.meta.url, 'sightings.lua')

/** Tickets in Redis: any replica takes them. */
export class RedisTickets implements TicketStore {
  readonly #link: RedisLink
  readonly #names: RedisNames

  constructor(link: RedisLink, names: RedisNames) {
    this.#link = link
    this.#names = names
  }

  async make(hash: string, { userId, follow, sessionMs }: TicketRequest): Promise<MadeTicket> {
    const answer = await this.#run('make', hash, [userId, JSON.stringify(follow), sessionMs, FIRST_USE_MS])
    const [issuedAt, expiresAt, useBefore] = answer.slice(1).map(Number) as [number, number, number]
    return { issuedAt, expiresAt, useBefore }
  }

  async find(hash: string): Promise<Ticket | null> {
    const [outcome, userId, follow, issuedAt, expiresAt] = await this.#run('find', hash, [])
    if (outcome !== 'found') return null
    // Safe: only `make` and `keep` write it.
    const patterns = JSON.parse(follow!) as string[]
    return { userId: userId!, follow: patterns, issuedAt: Number(issuedAt), expiresAt: Number(expiresAt) }
  }

  async take(hash: string, connectionId: string, isReturning: boolean): Promise<Taken> {
    const [outcome, turn] = await this.#run('take', hash, [connectionId, isReturning ? '1' : ''])
    if (outcome === 'taken') return { outcome, turn: Number(turn) }
    return { outcome: outcome === 'held' ? 'held' : 'gone' }
  }

  async leave(hash: string, connectionId: string): Promise<void> {
    await this.#run('leave', hash, [connectionId])
  }

  async revoke(hash: string): Promise<boolean> {
    const [, wasGood] = await this.#run('revoke', hash, [hash, MAX_SESSION_MS])
    return wasGood === '1'
  }

  async keep(hash: string, ticket: Ticket, connectionId: string, turn: number): Promise<Kept> {
    const { userId, follow, issuedAt, expiresAt } = ticket
    const fields = [userId, JSON.stringify(follow), issuedAt, expiresAt]
    const [outcome] = await this.#run('keep', hash, [hash, ...fields, connectionId, turn])
    // Safe: `keep` of tickets.lua answers with one of these.
    return outcome as Kept
  }

  async #run(op: string, hash: string, args: readonly (string | number)[]): Promise<string[]> {
    const keys = [this.#names.other(`ticket:${hash}`), this.#names.other('revoked-tickets')]
    const answer = await runForAccess(this.#link, ticketScript, keys, [op, ...args])
    // Safe: tickets.lua returns an array of strings and integers.
    return (answer as (string | number)[]).map(String)
  }
}

/** Sightings in Redis: whichever replica a credential was shown to first. */
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
    const answer = await runForAccess(this.#link, sightingScript, [this.#names.other(`seen:${credential}`)], [until])
    // Safe: sightings.lua returns two strings.
    const [now, seenAt] = answer as [string, string]
    this.#clock.observe(Number(now), sentAt)
    return seenAt
  }
}

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
