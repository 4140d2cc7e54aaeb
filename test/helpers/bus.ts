import type { Test } from 'tap'
import type { Bus, BusOptions } from '../../src/bus/bus.js'
import { type Cursor, parseCursor } from '../../src/cursor.js'
import { createDraft, type Draft } from '../../src/draft.js'
import type { Event, GapReason } from '../../src/event.js'
import { waitFor } from './deadline.js'

/** Makes a bus with a fresh history of its own; the suite closes it. */
export type CreateBus = (t: Test, options: BusOptions) => Bus | Promise<Bus>

const ROOMY = { historySize: 1_000, historyTtlMs: 60_000 }

/** All that a subscriber was told, in order. */
export interface Heard {
  readonly events: Event[]
  readonly gaps: { rooms: readonly string[] | null; reason: GapReason }[]
  /** How often the bus said that it is ready again. */
  ready: number
}

/** Connects a bus to a subscriber that follows everything, and waits until the bus is reached. */
export async function listenTo(t: Test, bus: Bus, follows?: readonly string[]): Promise<Heard> {
  const heard: Heard = { events: [], gaps: [], ready: 0 }
  t.teardown(() => bus.close())
  bus.connect({
    onEvents: events => void heard.events.push(...events),
    onGap: (rooms, reason) => void heard.gaps.push({ rooms, reason }),
    onReady: () => void heard.ready++,
    followedRooms: () => follows ?? [],
  })
  await waitFor(() => bus.position, 10_000, 'the bus to be reached')
  return heard
}

/** A checked event. */
export function draft(room: string, data: unknown, more: { key?: string; ephemeral?: boolean; type?: string } = {}) {
  return createDraft(room, { type: 'tick', data: JSON.stringify(data), ...more }, 1_048_576, 'the test')
}

/** Publishes one event, waits until this replica has received it, and returns its position. */
export async function publishOne(bus: Bus, event: Draft): Promise<Cursor> {
  const [published] = await bus.publish([event])
  const cursor = parseCursor(published!.id)!
  await waitFor(() => bus.position!.seq >= cursor.seq, 10_000, 'the event to be heard')
  return cursor
}

/** Reads every page after `after`: all events, and all rooms that the pages call lost. */
export async function readAll(bus: Bus, after: Cursor, rooms: readonly string[]) {
  const events: Event[] = []
  const lost = new Set<string>()
  for (let from = after; ; ) {
    const page = await bus.replay(from, rooms)
    events.push(...page.events)
    for (const room of page.lost) lost.add(room)
    if (!page.hasMore) return { events, lost: [...lost], upTo: page.upTo }
    from = page.upTo
  }
}

/** The payloads of events, parsed. */
export function payloads(events: readonly Event[]): unknown[] {
  return events.map(event => JSON.parse(event.data))
}

/** Returns a function that opens a bus for one test. */
export function openBusWith(createBus: CreateBus) {
  return async (t: Test, options: Partial<BusOptions> = {}) => {
    const bus = await createBus(t, { ...ROOMY, ...options })
    const heard = await listenTo(t, bus)
    return { bus, heard, start: bus.position! }
  }
}

/** Resolves when the subscriber has heard `count` events. */
export function until(heard: Heard, count: number): Promise<unknown> {
  return waitFor(() => heard.events.length >= count, 10_000, `${count} events at the subscriber`)
}
