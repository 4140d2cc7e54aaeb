import type { Cursor } from '../cursor.js'
import type { Event } from '../event.js'
import type { Replay } from './bus.js'
import type { History } from './history.js'

/** One whole page from memory: the events of `rooms` behind `seq` in bus order, and the rooms that are not whole. */
export function mergeReplay(history: History, seq: number, rooms: readonly string[], upTo: Cursor): Replay {
  const events: Event[] = []
  const lost: string[] = []
  let sources = 0
  for (const room of rooms) {
    const held = history.after(room, seq)
    if (!held.isWhole) lost.push(room)
    if (held.events.length === 0) continue
    sources++
    for (const event of held.events) events.push(event)
  }
  if (sources > 1) sortBySeq(events)
  return { events, lost, upTo, hasMore: false }
}

/** Puts events of one epoch in bus order. */
export function sortBySeq(events: Event[]): void {
  events.sort((a, b) => a.cursor.seq - b.cursor.seq)
}
