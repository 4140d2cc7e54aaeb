import { type Announcement, isVouchedFor, type Stay } from './announcement.js'
import type { Ledger } from './ledger.js'
import { type Position, showPosition } from './position.js'
import type { Publication } from './publication.js'

const LOG_KEPT = 400

/** The events that one reader saw, in order. It checks order and repeats as they come, and keeps the facts for reconciling. */
export class Book {
  readonly name: string
  readonly rooms: readonly string[]
  readonly announcements: Announcement[] = []
  delivered = 0
  /** Events seen a second time where that is allowed. */
  repeated = 0
  #ledger: Ledger
  #seen = new Uint8Array(1024)
  #position: Position | undefined
  #positionAt = 0
  #openedAt = Number.POSITIVE_INFINITY
  #goneAt = Number.POSITIVE_INFINITY
  #sentLastEventId = ''
  /** The reader's position was refused: the next id may be of an earlier epoch, from an old primary. */
  #mayGoBack = false
  /** The last position from which the reader was put back in that way: up to it, events may come a second time. */
  #backFrom: Position | undefined
  #stay: Stay | undefined
  #where = ''
  #log: { at: number; what: string }[] = []

  constructor(name: string, rooms: readonly string[], ledger: Ledger) {
    this.name = name
    this.rooms = rooms
    this.#ledger = ledger
  }

  /** A connection attempt, with the Last-Event-ID it sends. */
  connect(lastEventId: string, at: number, where = ''): void {
    this.#sentLastEventId = lastEventId
    this.#where = where
    this.note(`connects ${where} with last event id '${lastEventId}'`, at)
  }

  open(resumed: boolean | null, id: string, at: number): void {
    this.note(`open, resumed ${resumed}, id '${id}'`, at)
    this.#openedAt = Math.min(this.#openedAt, at)
    // `null` announces nothing to a reader that named its position: pages take it for a first visit.
    const isFirst = resumed === null && this.#sentLastEventId === ''
    if (resumed === false || isFirst) this.#announce(`resumed ${resumed}`, null, isFirst, at)
    this.#mayGoBack = resumed === false
    if (id !== '') this.#moveTo(id, at)
  }

  gap(rooms: readonly string[], id: string, at: number): void {
    this.note(`gap in ${rooms.join(', ')}, id '${id}'`, at)
    this.#announce('stream.gap', rooms, false, at)
    if (id !== '') this.#moveTo(id, at)
  }

  event(n: number, room: string, id: string, at: number): void {
    this.delivered++
    const { violations } = this.#ledger
    const publication = this.#ledger.publications[n]
    const name = `event ${n} of ${room} (${id})`
    const context = () => this.logAround(at)
    if (!publication || publication.room !== room) {
      violations.add('never published', `${this.name} saw ${name}, which nobody published`, context)
      return
    }
    if (!this.rooms.includes(room))
      violations.add('wrong room', `${this.name} saw ${name} and does not follow it`, context)
    this.#ledger.place(publication, id)
    const position = this.#ledger.positions.read(id)
    this.#goBack(position)
    const isBehind = this.#position !== undefined && this.#ledger.positions.compare(position, this.#position) <= 0
    const last = showPosition(this.#position)
    if (this.hasSeen(n) && (isBehind || !(publication.isRepublished || this.#isBehindWhereItWas(position)))) {
      violations.add('duplicated', `${this.name} saw ${name} again, after ${last}`, context)
    } else if (isBehind) {
      violations.add('reordered', `${this.name} saw ${name} after ${last}`, context)
    } else if (this.hasSeen(n)) this.repeated++
    this.#mark(n)
    if (this.#where !== '') this.#ledger.bearers.give(publication, this.#where)
    if (!isBehind) this.#setPosition(position, at)
  }

  /** An id without an event: a heartbeat. */
  position(id: string, at: number): void {
    this.#moveTo(id, at)
  }

  /** The reader is gone for good: events that were still on their way to it are not owed. */
  close(at: number): void {
    this.#goneAt = at
    this.note('gone', at)
  }

  /** Keeps a log entry for the report of a violation. */
  note(what: string, at: number): void {
    if (this.#log.length >= LOG_KEPT) this.#log.splice(0, LOG_KEPT / 2)
    this.#log.push({ at, what })
  }

  /** The reader's stay in the current epoch, linked to the earlier ones. */
  get stay(): Stay | undefined {
    return this.#stay
  }

  hasSeen(n: number): boolean {
    return (((this.#seen[n >> 3] ?? 0) >> (n & 7)) & 1) === 1
  }

  /** False when the reader was never open, or left for good before its stream vouched for this position. */
  isOwed(publication: Publication): boolean {
    if (this.#openedAt === Number.POSITIVE_INFINITY || !publication.position) return false
    if (this.#goneAt === Number.POSITIVE_INFINITY) return true
    // Cheap test first: most events that a gone reader never saw were sent after its end.
    if (publication.sentAt > this.#goneAt) return false
    return isVouchedFor(this.#stay, publication, this.#ledger.positions)
  }

  /** The last entries of its log before a time, and the first after it. */
  logAround(at: number): string[] {
    const after = this.#log.findIndex(entry => entry.at > at)
    const middle = after < 0 ? this.#log.length : after
    return this.#log
      .slice(Math.max(0, middle - 6), middle + 4)
      .map(entry => `${Math.round(entry.at)} ms: ${entry.what}`)
  }

  #announce(what: string, rooms: readonly string[] | null, isFirst: boolean, at: number): void {
    const before = this.#stay && { ...this.#stay }
    this.announcements.push({ at, what, rooms, before, sinceAt: this.#positionAt, after: undefined, isFirst })
  }

  /** After `resumed: false` the order begins anew if the epoch is an earlier one: the replica then still hears an old primary. */
  #goBack(position: Position): void {
    const last = this.#position
    if (this.#mayGoBack && last) {
      if (position.rank < last.rank) {
        if (!this.#isBehindWhereItWas(last)) this.#backFrom = last
        this.#position = undefined
      } else if (!this.#ledger.positions.isOfLine(last, position)) {
        // The reader had gone on with an old primary. The next epoch may still stand at a lower number, where the two parted.
        this.#position = undefined
      }
    }
    this.#mayGoBack = false
  }

  #isBehindWhereItWas(position: Position): boolean {
    return this.#backFrom !== undefined && this.#ledger.positions.compare(position, this.#backFrom) <= 0
  }

  #moveTo(id: string, at: number): void {
    const { positions } = this.#ledger
    const position = positions.read(id)
    // An id without an event is the replica's own position; it was not read from history.
    positions.begin(position)
    this.#goBack(position)
    if (this.#position && positions.compare(position, this.#position) < 0) {
      const what = `${this.name} was put back from ${showPosition(this.#position)} to ${id}`
      this.#ledger.violations.add('reordered', what, () => this.logAround(at))
    }
    this.#setPosition(position, at)
  }

  #setPosition(position: Position, at: number): void {
    this.#position = position
    this.#positionAt = at
    if (this.#stay?.position.epoch === position.epoch) this.#stay.position = position
    else {
      const last = this.announcements.at(-1)
      const since = last && !last.after ? last.at : at
      this.#stay = { position, since, earlier: this.#stay }
    }
    for (let last = this.announcements.length - 1; last >= 0; last--) {
      const told = this.announcements[last]
      if (!told || told.after) break
      told.after = position
    }
  }

  #mark(n: number): void {
    const index = n >> 3
    if (index >= this.#seen.length) {
      const larger = new Uint8Array(Math.max(index + 1, this.#seen.length * 2))
      larger.set(this.#seen)
      this.#seen = larger
    }
    this.#seen[index] = (this.#seen[index] ?? 0) | (1 << (n & 7))
  }
}
