import type { Position } from './position.js'

/** One event that somebody tried to publish. Times are performance.now(). */
export interface Publication {
  /** Its number in the run; the event's data carries it. */
  readonly n: number
  readonly room: string
  /** Who published it, for people. */
  readonly by: string
  readonly sentAt: number
  /**
   * sent -> acknowledged | refused (it says it was not published) | uncertain (nobody can say).
   * A repeat of an uncertain one may still become acknowledged; never refused.
   */
  state: 'sent' | 'acknowledged' | 'refused' | 'uncertain'
  ackedAt: number
  /** It was sent more than once, with the same key. */
  isRepeated: boolean
  /** Redis forgot the key between two of those, so that it has a position in two epochs: allowed, nobody could know. */
  isRepublished: boolean
  /** Who has it, as a set of bits: see Bearers. */
  bearers: number
  /** Where it is: as acknowledged, or as first seen on a stream. */
  position: Position | undefined
}
