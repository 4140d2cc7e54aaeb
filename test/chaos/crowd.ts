import { waitFor } from '../helpers/deadline.js'
import { ResumingReader, type Sight } from '../helpers/resuming-reader.js'
import { Scope } from '../helpers/scope.js'
import type { Book } from './book.js'
import { EVENT_TYPE } from './doors.js'
import type { Ledger } from './ledger.js'
import type { Random } from './random.js'

export interface CrowdOptions {
  ledger: Ledger
  random: Random
  /** URLs of the replicas, which readers take in turn. */
  urls: readonly string[]
  readers: number
  users: readonly string[]
  rooms: readonly string[]
  /** How many of the readers follow BULK_ROOM too, and stall. */
  stalling: number
  /** Milliseconds between two readers that break off by themselves. 0 for never. */
  churnMs: number
}

/** The room that gets a flood of events while its readers stall. */
export const BULK_ROOM = 'bulk'

const ROOMS_EACH = 3
/** Of the readers that break off: the share that a new reader replaces, and the share that stays away for a while. */
const LEAVE_SHARE = 0.04
const OFFLINE_SHARE = 0.2
const OFFLINE_MS = [500, 6000] as const
const OPEN_MS = 20_000
const DATA = /^\{"n":(\d+),"room":"([^"]+)"/

/** Readers that come back as browsers do, each with its book in the ledger. Some break off, some leave, and new ones come. */
export class Crowd {
  /** Counts for the report: `stream.close` by reason, `resumed`, gaps and the like. */
  readonly tallies = new Map<string, number>()
  #options: CrowdOptions
  #scope = new Scope()
  #members: { reader: ResumingReader; book: Book; user: string; stalls: boolean }[] = []
  #born = 0
  #turn = 0
  #churn: NodeJS.Timeout | undefined

  constructor(options: CrowdOptions) {
    this.#options = options
    for (let index = 0; index < options.readers; index++) {
      this.#add(options.users[index % options.users.length] ?? 'nobody', index < options.stalling)
    }
  }

  /** Opens every reader. */
  async open(): Promise<void> {
    const areOpen = () => this.#members.every(({ reader }) => reader.opens > 0)
    await waitFor(areOpen, OPEN_MS, `${this.#members.length} streams to open`)
    if (this.#options.churnMs > 0) this.#churn = setInterval(() => this.#disturb(), this.#options.churnMs)
  }

  stall(): void {
    for (const { reader, stalls } of this.#members) if (stalls) reader.pause()
  }

  resume(): void {
    for (const { reader } of this.#members) reader.resume()
  }

  /** Takes a share of the readers off the network; calling the result brings them back. */
  takeOffline(share: number): () => void {
    const gone = this.#members.filter(() => this.#options.random.chance(share))
    for (const { reader } of gone) reader.goOffline()
    return () => {
      for (const { reader } of gone) reader.goOnline()
    }
  }

  /** Brings everyone back; from now on nobody breaks off or leaves. */
  settle(): void {
    clearInterval(this.#churn)
    for (const { reader } of this.#members) reader.goOnline()
  }

  async close(): Promise<void> {
    this.settle()
    await this.#scope.close()
  }

  #add(user: string, stalls: boolean): void {
    const { ledger, random, rooms } = this.#options
    const asked = random.shuffled(rooms).slice(0, ROOMS_EACH)
    if (stalls) asked.push(BULK_ROOM)
    const name = `reader ${this.#born++} (${user})`
    const book = ledger.openBook(name, [...new Set([`user:${user}`, '*', ...asked])])
    const path = `/v1/stream?user=${user}&rooms=${asked.join(',')}`
    const nextUrl = () => `${this.#options.urls[this.#turn++ % this.#options.urls.length]}${path}`
    const onSight = (sight: Sight) => this.#write(book, sight)
    const reader = new ResumingReader(this.#scope, nextUrl, { onSight, keep: false })
    this.#members.push({ reader, book, user, stalls })
  }

  #disturb(): void {
    const { random } = this.#options
    const index = random.int(0, this.#members.length - 1)
    const member = this.#members[index]
    if (!member) return
    if (random.chance(LEAVE_SHARE)) {
      this.#tally('readers replaced')
      this.#members.splice(index, 1)
      member.book.close(performance.now())
      void member.reader.close()
      this.#add(member.user, member.stalls)
    } else if (random.chance(OFFLINE_SHARE)) {
      this.#tally('readers offline')
      member.reader.goOffline()
      setTimeout(() => member.reader.goOnline(), random.int(...OFFLINE_MS))
    } else {
      this.#tally('links broken')
      member.reader.breakLink()
    }
  }

  #write(book: Book, sight: Sight): void {
    const { at } = sight
    switch (sight.kind) {
      case 'connect':
        book.connect(sight.lastEventId, at, new URL(sight.url).host)
        return
      case 'refused':
        book.note(`refused: ${sight.reason}`, at)
        return
      case 'open': {
        const { resumed } = JSON.parse(sight.data) as { resumed: boolean | null } // the documented shape
        this.#tally(`resumed ${resumed}`)
        book.open(resumed, sight.id, at)
        return
      }
      case 'gap': {
        const { rooms, reason } = JSON.parse(sight.data) as { rooms: string[]; reason: string } // the documented shape
        this.#tally(`gap: ${reason}`)
        book.gap(rooms, sight.id, at)
        return
      }
      case 'close': {
        const { reason } = JSON.parse(sight.data) as { reason: string } // the documented shape
        this.#tally(`closed: ${reason}`)
        book.note(`told to close: ${sight.data}`, at)
        return
      }
      case 'position':
        book.position(sight.id, at)
        return
      case 'event': {
        const match = sight.event.type === EVENT_TYPE ? DATA.exec(sight.event.data) : null
        if (match) book.event(Number(match[1]), match[2] ?? '', sight.event.id, at)
        else book.note(`unknown event ${sight.event.type}`, at)
        return
      }
      case 'ended':
        book.note('connection ended', at)
        return
      case 'failed': {
        const what = `${book.name} was answered ${sight.status}, which no browser comes back from`
        this.#options.ledger.violations.add('gave up', what, () => book.logAround(at))
      }
    }
  }

  #tally(what: string): void {
    this.tallies.set(what, (this.tallies.get(what) ?? 0) + 1)
  }
}
