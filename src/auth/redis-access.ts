import { AccessUnavailable } from '../errors.js'
import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript, type RedisScript } from '../redis/script.js'
import { MAX_TOKEN_LIFE_MS } from './jwt.js'
import type { RevocationStore } from './revocations.js'
import { FIRST_USE_MS, MAX_SESSION_MS, type Taken, type Ticket, type TicketStore } from './tickets.js'

const ticketScript = loadScript(import.meta.url, 'tickets.lua')
const revocationScript = loadScript(import.meta.url, 'revocations.lua')

/** Tickets in Redis: any replica takes them. */
export class RedisTickets implements TicketStore {
  readonly #link: RedisLink
  readonly #names: RedisNames

  constructor(link: RedisLink, names: RedisNames) {
    this.#link = link
    this.#names = names
  }

  async put(hash: string, ticket: Ticket): Promise<void> {
    const firstUseMs = Math.min(FIRST_USE_MS, ticket.expiresAt - ticket.issuedAt)
    await this.#run('make', hash, [...fieldsOf(ticket), firstUseMs])
  }

  async find(hash: string): Promise<Ticket | null> {
    const [outcome, userId, follow, issuedAt, expiresAt] = await this.#run('find', hash, [])
    if (outcome !== 'found') return null
    // Safe: only `fieldsOf` writes it.
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

  async revoke(hash: string): Promise<void> {
    await this.#run('revoke', hash, [MAX_SESSION_MS])
  }

  async keep(hash: string, ticket: Ticket, connectionId: string, turn: number) {
    const [outcome] = await this.#run('keep', hash, [...fieldsOf(ticket), connectionId, turn])
    return outcome === 'revoked' || outcome === 'replaced' ? outcome : 'yours'
  }

  async #run(op: string, hash: string, args: readonly (string | number)[]): Promise<string[]> {
    const answer = await runOrExplain(this.#link, ticketScript, this.#names.other(`ticket:${hash}`), [op, ...args])
    // Safe: tickets.lua returns an array of strings and integers.
    return (answer as (string | number)[]).map(String)
  }
}

/** Revoked users in Redis, for as long as their tokens could live. */
export class RedisRevocations implements RevocationStore {
  readonly #link: RedisLink
  readonly #key: string

  constructor(link: RedisLink, names: RedisNames) {
    this.#link = link
    this.#key = names.other('revoked')
  }

  async put(revoked: ReadonlyMap<string, number>): Promise<void> {
    if (revoked.size > 0) await this.#run([...revoked].flat())
  }

  async all(): Promise<Map<string, number>> {
    // Safe: revocations.lua returns an array of strings.
    const flat = (await this.#run([])) as string[]
    const revoked = new Map<string, number>()
    for (let i = 0; i < flat.length; i += 2) revoked.set(flat[i]!, Number(flat[i + 1]))
    return revoked
  }

  #run(args: readonly (string | number)[]): Promise<unknown> {
    return runOrExplain(this.#link, revocationScript, this.#key, [Date.now() - MAX_TOKEN_LIFE_MS, ...args])
  }
}

async function runOrExplain(
  link: RedisLink,
  script: RedisScript,
  key: string,
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await link.run(script, [key], args)
  } catch (error) {
    const unavailable = new AccessUnavailable('no answer from Redis')
    unavailable.cause = error
    throw unavailable
  }
}

function fieldsOf({ userId, follow, issuedAt, expiresAt }: Ticket): (string | number)[] {
  return [userId, JSON.stringify(follow), issuedAt, expiresAt]
}
