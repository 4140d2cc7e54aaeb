import type { Cursor } from '../cursor.js'
import type { Event } from '../event.js'
import type { Replay } from './bus.js'
import type { History } from './history.js'

/** A page from memory: the events of `rooms` after `seq` in bus order, of about `limitBytes`; `lost` comes from `history.lostOf`. */
export function pageFrom(
  history: History,
  seq: number,
  rooms: readonly string[],
  lost: readonly string[],
  end: Cursor,
  limitBytes: number,
): Replay {
  const { events, hasMore } = history.after(rooms, seq, limitBytes)
  return { events, lost, upTo: hasMore ? events.at(-1)!.cursor : end, hasMore }
}

/** Puts events of one epoch in bus order. */
export function sortBySeq(events: Event[]): void {
  events.sort((a, b) => a.cursor.seq - b.cursor.seq)
}
