import type { Position, Positions } from './position.js'
import type { Publication } from './publication.js'

/** A reader's time in one epoch. Every id that it got there is a promise. */
export interface Stay {
  /** The last id that it got there. */
  position: Position
  /** When it came to the epoch: the time of the announcement, or of the first id when nothing was announced. */
  readonly since: number
  /** Its stay in the epoch before. */
  readonly earlier: Stay | undefined
}

/** One announcement to a reader that events may be missing: `resumed` other than true, or `stream.gap`. */
export interface Announcement {
  readonly at: number
  /** The announcement in words: `resumed false`, `stream.gap`, .. */
  readonly what: string
  /** The rooms that it names; null for all. */
  readonly rooms: readonly string[] | null
  /** The reader's stay at that time; undefined on a first visit. */
  readonly before: Stay | undefined
  /** When the reader got its last position before the announcement. */
  readonly sinceAt: number
  /** The first position that came with the announcement or after it. */
  after: Position | undefined
  /** True on a first visit: earlier events are not missed. */
  readonly isFirst: boolean
}

/**
 * True when this publication lies inside the announced loss. Its room is named, the stream had not vouched for it before, it was
 * sent before the announcement, and it was acknowledged before the announcement or lies at or before the next position.
 */
export function covers(told: Announcement, publication: Publication, positions: Positions): boolean {
  const { room, position, sentAt, ackedAt } = publication
  const { at, rooms, before, after } = told
  if (!position || (rooms && !rooms.includes(room)) || sentAt >= at) return false
  if (ackedAt >= at && (after === undefined || positions.compare(position, after) > 0)) return false
  if (before && isAside(position, before.position, positions) && (!after || after.epoch === before.position.epoch)) {
    // Only one more epoch tells of an event that an old primary took after the failover; a gap with another cause does not.
    return false
  }
  return !isVouchedFor(before, publication, positions)
}

/**
 * True when an id that the reader got, in this epoch or an earlier one, promised that this publication was delivered or announced.
 *
 * An id promises everything before it in the line of its epoch. An earlier epoch may have gone on beyond the point where the two
 * parted. The reader was told of those events when it changed epochs, so its later ids vouch for the ones acknowledged until
 * then. They vouch for none that the old primary took later: its successor cannot know of these yet.
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

/** True when an old primary took this after the reader had been told of the successor: none of the reader's ids vouches for it. */
export function isBeyondKnowing(last: Stay | undefined, publication: Publication, positions: Positions): boolean {
  const { position } = publication
  if (!position || !last || !isAside(position, last.position, positions)) return false
  return !isVouchedFor(last, publication, positions)
}

/** True for a position of an earlier epoch beyond the point where the current one parted from it. */
function isAside(position: Position, present: Position, positions: Positions): boolean {
  return position.rank < present.rank && !positions.isOfLine(position, present)
}
