import type { RedisLink } from '../redis/link.js'
import type { RedisNames } from '../redis/names.js'
import { loadScript } from '../redis/script.js'
import { runForAccess } from './redis-run.js'
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
    // Safe: only `make` and `keep` write this field.
    const patterns = JSON.parse(follow!) as string[]
    return { userId: userId!, follow: patterns, issuedAt: Number(issuedAt), expiresAt: Number(expiresAt) }
  }

  async take(hash: string, connectionId: string, isReturning: boolean): Promise<Taken> {
    const [outcome, fence] = await this.#run('take', hash, [connectionId, isReturning ? '1' : ''])
    if (outcome === 'taken') return { outcome, fence: Number(fence) }
    return { outcome: outcome === 'held' ? 'held' : 'gone' }
  }

  async leave(hash: string, connectionId: string): Promise<void> {
    await this.#run('leave', hash, [connectionId])
  }

  async revoke(hash: string): Promise<boolean> {
    const [, wasGood] = await this.#run('revoke', hash, [hash, MAX_SESSION_MS])
    return wasGood === '1'
  }

  async keep(hash: string, ticket: Ticket, connectionId: string, fence: number): Promise<Kept> {
    const { userId, follow, issuedAt, expiresAt } = ticket
    const fields = [userId, JSON.stringify(follow), issuedAt, expiresAt]
    const [outcome] = await this.#run('keep', hash, [hash, ...fields, connectionId, fence])
    // Safe: `keep` of tickets.lua answers with one of these.
    return outcome as Kept
  }

  async #run(op: string, hash: string, args: readonly (string | number)[]): Promise<string[]> {
    const keys = [this.#names.of('ticket', hash), this.#names.of('revoked-tickets')]
    const answer = await runForAccess(this.#link, ticketScript, keys, [op, ...args])
    // Safe: tickets.lua returns an array of strings and integers.
    return (answer as (string | number)[]).map(String)
  }
}
