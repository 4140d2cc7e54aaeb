import type { Position } from './position.js'

/** One attempt to publish an event, repeats included. Times are performance.now(). */
export interface Publication {
  /** Its number in the run; the event's data carries it. */
  readonly n: number
  readonly room: string
  /** The name of its publisher, for reports. */
  readonly by: string
  readonly sentAt: number
  /**
   * sent -> acknowledged | refused (the answer says that it was not published) | uncertain (nobody can say).
   * A repeat may still acknowledge an uncertain one, but never makes it refused.
   */
  state: 'sent' | 'acknowledged' | 'refused' | 'uncertain'
  ackedAt: number
  /** True when it was sent more than once, with the same key. */
  isRepeated: boolean
  /** True when Redis forgot the key between two tries, so that it has a position in two epochs. This is allowed: nobody could know. */
  isRepublished: boolean
  /** The processes that have it, as a set of bits: see Bearers. */
  bearers: number
  /** Its position, from the acknowledgement or from the first stream that brought it. */
  position: Position | undefined
}
