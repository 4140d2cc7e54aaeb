import type { Bus, BusHealth, Replay, Subscriber } from '../../src/bus/bus.js'
import type { Cursor } from '../../src/cursor.js'
import type { Event } from '../../src/event.js'

/** A requested replay that waits for the test's answer. */
export interface Asked {
  readonly after: Cursor
  readonly rooms: readonly string[]
  readonly limitBytes: number | undefined
  answer(page: Partial<Replay>): void
  fail(error: Error): void
}

/** A bus whose every answer the test gives. So a test can force an order of events that a real bus shows once in a million runs. */
export class ScriptedBus implements Bus {
  position: Cursor | null = { epoch: 'k', seq: 0 }
  status: BusHealth['status'] = 'ok'
  readonly asked: Asked[] = []
  readonly counts = { historyReads: 0, catchUps: 0 }
  subscriber!: Subscriber

  connect(subscriber: Subscriber): void {
    this.subscriber = subscriber
  }

  async publish(): Promise<never> {
    throw new Error('a scripted bus does not publish')
  }

  replay(after: Cursor, rooms: readonly string[], limitBytes?: number): Promise<Replay> {
    return new Promise((resolve, reject) => {
      const answer = (page: Partial<Replay>) =>
        resolve({ events: [], lost: [], upTo: this.position ?? after, hasMore: false, ...page })
      this.asked.push({ after, rooms, limitBytes, answer, fail: reject })
    })
  }

  health(): BusHealth {
    return { status: this.status, reason: null, lagMs: 0 }
  }

  async close(): Promise<void> {}

  /** Delivers live events; the last one is the new position. */
  deliver(...events: Event[]): void {
    this.position = events.at(-1)!.cursor
    this.subscriber.onEvents(events)
  }
}

/** An event of epoch `k` whose data is its seq. */
export function eventAt(seq: number, room = 'room', more: Partial<Event> = {}): Event {
  return { cursor: { epoch: 'k', seq }, room, type: 'tick', at: 1_000, data: `${seq}`, ephemeral: false, ...more }
}
