import { type Announcement, covers, isBeyondKnowing } from './announcement.js'
import { Bearers } from './bearer.js'
import { Book } from './book.js'
import { Positions, showPosition } from './position.js'
import type { Publication } from './publication.js'
import { Violations } from './violation.js'

export interface LedgerCounts {
  /** Publications by their final state. */
  acknowledged: number
  refused: number
  uncertain: number
  /** Events that readers saw, over all readers. */
  delivered: number
  /** Announcements of loss, over all readers. */
  announcements: number
  /** Acknowledged events that a reader missed and was told of. This count and the next ones are of pairs of event and reader. */
  announcedLost: number
  /** Missed events that an old primary took after the failover and whose bearers all ended before they came over: nobody could tell. */
  untold: number
  silentlyLost: number
  duplicated: number
  reordered: number
  /** Events published twice because Redis forgot the idempotency key. This is allowed: nobody could know. */
  republished: number
  /** Events that a reader saw again after a replica of an old primary refused its position (`resumed: false`). This is allowed. */
  repeated: number
}

export interface Reconciliation {
  counts: LedgerCounts
  violations: Violations
  /** The events that some reader missed and was told of, each once, in words. */
  announcedLosses: string[]
}

/**
 * Compares the acknowledged events with the events that each reader saw, by the rule in README.md. It is pure: its callers tell it
 * what happened and when; it knows no clock, socket or process.
 */
export class Ledger {
  readonly positions = new Positions()
  readonly bearers = new Bearers()
  readonly violations = new Violations()
  readonly publications: Publication[] = []
  readonly books: Book[] = []
  #byPosition = new Map<string, number>()
  #lapses: { from: number; to: number; what: string }[] = []

  /** Opens the book of a new reader that follows these rooms. */
  openBook(name: string, rooms: readonly string[]): Book {
    const book = new Book(name, rooms, this)
    this.books.push(book)
    return book
  }

  /** Gives a number to an event that is about to be published. */
  send(room: string, by: string, at: number): Publication {
    const n = this.publications.length
    const fresh = { n, room, by, sentAt: at, ackedAt: 0, isRepeated: false, isRepublished: false, bearers: 0 }
    const publication: Publication = { ...fresh, position: undefined, state: 'sent' }
    this.publications.push(publication)
    return publication
  }

  acknowledge(publication: Publication, id: string, at: number, bearer = publication.by): void {
    publication.state = 'acknowledged'
    publication.ackedAt = at
    this.place(publication, id)
    const position = this.positions.read(id)
    publication.position = position
    this.positions.begin({ ...position, seq: position.seq - 1 })
    this.bearers.give(publication, bearer)
    this.bearers.arrive(bearer, position.rank, at)
  }

  refuse(publication: Publication): void {
    if (publication.state === 'sent') publication.state = 'refused'
  }

  doubt(publication: Publication): void {
    if (publication.state !== 'acknowledged') publication.state = 'uncertain'
  }

  /** Redis lost data between these times, so losses may be announced. `to` includes the time to notice. */
  forgive(from: number, to: number, what: string): void {
    this.#lapses.push({ from, to, what })
  }

  /** Notes an id of this publication, seen in an answer or on a stream. One publication has one id, and no other has the same. */
  place(publication: Publication, id: string): void {
    const position = this.positions.read(id)
    const other = this.#byPosition.get(id)
    if (other === undefined) this.#byPosition.set(id, publication.n)
    else if (other !== publication.n) {
      this.violations.add('one position twice', `${id} is of event ${other} and of event ${publication.n}`, () =>
        [other, publication.n].map(n => this.#story(n)),
      )
    }
    const known = publication.position
    publication.position ??= position
    if (!known || (known.epoch === position.epoch && known.seq === position.seq)) return
    if (known.epoch !== position.epoch && publication.isRepeated) {
      // The new number may equal the old one by chance: the old primary may have taken as many events that nobody else has.
      publication.isRepublished = true
      return
    }
    if (known.epoch !== position.epoch && known.seq === position.seq) {
      this.positions.carry(known, position)
      return
    }
    const sent = publication.isRepeated ? 'with one key' : 'once'
    const what = `event ${publication.n}, sent ${sent}, is at ${showPosition(known)} and at ${id}`
    this.violations.add('two positions', what, () => [this.#story(publication.n)])
  }

  /** The number of acknowledged events that readers miss without having been told, counted per reader. */
  get owed(): number {
    let owed = 0
    this.#someUnseen(this.publications, (book, publication) => {
      if (this.#isMissed(book, publication)) owed++
      return false
    })
    return owed
  }

  /** True when nothing is owed. After a long run this call blocks the process for a moment, and nobody reads meanwhile. */
  get isSettled(): boolean {
    // Look from the newest on: events still under way are new, so the search ends early.
    return !this.#someUnseen(this.publications.toReversed(), (book, publication) => this.#isMissed(book, publication))
  }

  /** The account of the run. Call it once, at the end: events that are still owed then are silently lost. */
  reconcile(): Reconciliation {
    let announcedLost = 0
    let untold = 0
    const announced = new Set<number>()
    this.#someUnseen(this.publications, (book, publication) => {
      const told = announcementOf(book, publication, this.positions)
      if (!told && this.#isUntold(book, publication)) untold++
      else if (!told) this.#reportLoss(book, publication)
      else if (!told.isFirst) {
        announcedLost++
        announced.add(publication.n)
      }
      return false
    })
    for (const book of this.books) {
      for (const told of book.announcements)
        if (!told.isFirst && !this.#isForgiven(told)) reportNeedless(this, book, told)
    }
    for (const { n, room, by, state, position } of this.publications) {
      if (state !== 'refused' || !position) continue
      const what = `event ${n} of ${room} is at ${showPosition(position)}, though ${by} was told that it was not published`
      this.violations.add('refused but delivered', what, () => [])
    }
    const inState = (state: Publication['state']) => this.publications.filter(one => one.state === state).length
    const counts = {
      acknowledged: inState('acknowledged'),
      refused: inState('refused'),
      uncertain: inState('uncertain') + inState('sent'),
      delivered: this.books.reduce((sum, book) => sum + book.delivered, 0),
      announcements: this.books.reduce(
        (sum, { announcements }) => sum + announcements.filter(told => !told.isFirst).length,
        0,
      ),
      announcedLost,
      untold,
      silentlyLost: this.violations.count('silently lost'),
      duplicated: this.violations.count('duplicated'),
      reordered: this.violations.count('reordered'),
      repeated: this.books.reduce((sum, book) => sum + book.repeated, 0),
      republished: this.publications.filter(one => one.isRepublished).length,
    }
    return { counts, violations: this.violations, announcedLosses: [...announced].map(n => this.#story(n)) }
  }

  /** Calls `look` for every event that a reader is owed and did not see, until one call returns true. */
  #someUnseen(publications: readonly Publication[], look: (book: Book, publication: Publication) => boolean): boolean {
    const followers = new Map<string, Book[]>()
    for (const book of this.books) {
      for (const room of book.rooms) followers.set(room, [...(followers.get(room) ?? []), book])
    }
    for (const publication of publications) {
      if (publication.state !== 'acknowledged') continue
      for (const book of followers.get(publication.room) ?? []) {
        if (!book.hasSeen(publication.n) && book.isOwed(publication) && look(book, publication)) return true
      }
    }
    return false
  }

  #isMissed(book: Book, publication: Publication): boolean {
    return !announcementOf(book, publication, this.positions) && !this.#isUntold(book, publication)
  }

  #isUntold(book: Book, publication: Publication): boolean {
    return isBeyondKnowing(book.stay, publication, this.positions) && this.bearers.areGone(publication)
  }

  #isForgiven({ at, sinceAt }: Announcement): boolean {
    return this.#lapses.some(({ from, to }) => from <= at && to >= sinceAt)
  }

  #reportLoss(book: Book, publication: Publication): void {
    const { n, room, by, sentAt, ackedAt } = publication
    const place = showPosition(publication.position)
    this.violations.add(
      'silently lost',
      `${book.name} never saw event ${n} of ${room} (${place}) and was not told`,
      () => [
        `sent ${ms(sentAt)} by ${by}, acknowledged ${ms(ackedAt)}`,
        `seen around it: ${this.#neighbours(book, publication)}`,
        ...book.logAround(ackedAt),
      ],
    )
  }

  #story(n: number): string {
    const publication = this.publications[n]
    if (!publication) return `event ${n} was never sent`
    const { room, by, state, sentAt, ackedAt, position } = publication
    return `event ${n} of ${room} (${showPosition(position)}): sent ${ms(sentAt)} by ${by}, ${state}${ackedAt ? ` ${ms(ackedAt)}` : ''}`
  }

  #neighbours(book: Book, lost: Publication): string {
    const seen = this.publications.filter(one => one.position?.rank === lost.position?.rank && book.hasSeen(one.n))
    const seqOf = (one: Publication) => one.position?.seq ?? 0
    const seq = seqOf(lost)
    const before = Math.max(...seen.map(seqOf).filter(other => other < seq))
    const after = Math.min(...seen.map(seqOf).filter(other => other > seq))
    return `${Number.isFinite(before) ? before : 'nothing'} before, ${Number.isFinite(after) ? after : 'nothing'} after`
  }
}

function announcementOf(book: Book, publication: Publication, positions: Positions): Announcement | undefined {
  return book.announcements.find(told => covers(told, publication, positions))
}

function reportNeedless(ledger: Ledger, book: Book, told: Announcement): void {
  const rooms = told.rooms?.join(', ') ?? 'all rooms'
  const what = `${book.name} was told of a loss in ${rooms} (${told.what}), though Redis had lost nothing`
  ledger.violations.add('needlessly announced', what, () => book.logAround(told.at))
}

function ms(at: number): string {
  return `${Math.round(at)} ms`
}
