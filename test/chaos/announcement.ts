import type { Position, Positions } from './position.js'
import type { Publication } from './publication.js'

/** A reader's way through one epoch. Every id it got there is a promise. */
export interface Stay {
  /** The last of those ids. */
  position: Position
  /** When it came: by the announcement that brought it there, or with the first id when nothing was announced. */
  readonly since: number
  /** Where it was before. */
  readonly earlier: Stay | undefined
}

/** A reader was told that events may be missing: by `resumed` other than true, or by stream.gap. */
export interface Announcement {
  readonly at: number
  /** How it was told. */
  readonly what: string
  /** null for all. */
  readonly rooms: readonly string[] | null
  /** Where the reader stood then; nowhere on a first visit. */
  readonly before: Stay | undefined
  /** When the reader got its last position before it. */
  readonly sinceAt: number
  /** The first position that came with it or after it. */
  after: Position | undefined
  /** A first visit: what was before is not missed. */
  readonly isFirst: boolean
}

/**
 * True when this publication lies inside the announced loss: in a named room, behind all that the stream had vouched for
 * before, not begun after the announcement, and either before the next position or known to its publisher by then.
 */
export function covers(told: Announcement, publication: Publication, positions: Positions): boolean {
  const { room, position, sentAt, ackedAt } = publication
  const { at, rooms, before, after } = told
  if (!position || (rooms && !rooms.includes(room)) || sentAt >= at) return false
  if (ackedAt >= at && (after === undefined || positions.compare(position, after) > 0)) return false
  if (before && isAside(position, before.position, positions) && (!after || after.epoch === before.position.epoch)) {
    // What a primary took that had been given up is told by one more epoch. A gap for another reason says nothing of it.
    return false
  }
  return !isVouchedFor(before, publication, positions)
}

/**
 * True when an id that the reader got, here or in an earlier epoch, said that this publication had been delivered or announced.
 *
 * Within the line of an epoch that is what comes before the id. Beside the line is what an earlier epoch had beyond the point
 * where the two parted: of that the reader was told when it changed over, so that the ids behind it vouch for what was
 * published until then; and for nothing that an old primary took later, which its successor cannot know of yet.
 */
export function isVouchedFor(last: Stay | undefined, publication: Publication, positions: Positions): boolean {
  const { position, ackedAt } = publication
  if (!position) return false
  for (let stay = last; stay; stay = stay.earlier) {
    if (positions.isOfLine(position, stay.position)) {
      if (position.seq <= stay.position.seq) return true
    } else if (position.rank < stay.position.rank && ackedAt < stay.since) return true
  }
  return false
}

/** True when an old primary took this after the reader had been told of its successor: no id of the reader's speaks of it. */
export function isBeyondKnowing(last: Stay | undefined, publication: Publication, positions: Positions): boolean {
  const { position } = publication
  if (!position || !last || !isAside(position, last.position, positions)) return false
  return !isVouchedFor(last, publication, positions)
}

/** Of an earlier epoch, beyond the point where the present one parted from it. */
function isAside(position: Position, present: Position, positions: Positions): boolean {
  return position.rank < present.rank && !positions.isOfLine(position, present)
}
