import { setTimeout as wait } from 'node:timers/promises'
import type { Door, Item, Outcome } from './doors.js'
import type { Ledger } from './ledger.js'
import type { Publication } from './publication.js'
import type { Random } from './random.js'

export interface PressOptions {
  ledger: Ledger
  random: Random
  /** Rooms and users to publish to. */
  rooms: readonly string[]
  users: readonly string[]
  /** The pause between two publishes. */
  pauseMs: number
}

const REPEATS = 8
const REPEAT_MS = 250

/** Publishes through one door until stop(), one publish after the other: to users, rooms and everyone, single events and batches. */
export class Press {
  #door: Door
  #options: PressOptions
  #isRunning = true
  #done: Promise<void>

  constructor(door: Door, options: PressOptions) {
    this.#door = door
    this.#options = options
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#isRunning = false
    await this.#done
    this.#door.close()
  }

  async #run(): Promise<void> {
    const { random, pauseMs } = this.#options
    while (this.#isRunning) {
      const count = random.chance(0.1) ? random.int(2, 10) : 1
      const rooms = Array.from({ length: count }, () => this.#room())
      await publishAll(this.#door, this.#options.ledger, rooms, { hasKey: random.chance(0.7) })
      await wait(pauseMs * (0.5 + random.next()))
    }
  }

  #room(): string {
    const { random, rooms, users } = this.#options
    const share = random.next()
    if (share < 0.08) return '*'
    return share < 0.6 ? random.pick(rooms) : `user:${random.pick(users)}`
  }
}

/**
 * Publishes one event to each of these rooms, all or none, and tells the ledger. With keys it repeats an uncertain publish until
 * the outcome is certain, or gives up after `REPEATS` times.
 */
export async function publishAll(
  door: Door,
  ledger: Ledger,
  rooms: readonly string[],
  { hasKey = true, padding = 0 } = {},
): Promise<void> {
  const pad = 'x'.repeat(padding)
  const publications = rooms.map(room => ledger.send(room, door.name, performance.now()))
  const items = publications.map(one => itemOf(one, hasKey, pad))
  for (let turn = 0; ; turn++) {
    const outcome = withAllIds(await door.publish(items), items.length)
    for (const [index, publication] of publications.entries()) {
      if (outcome.kind === 'acknowledged') {
        ledger.acknowledge(publication, outcome.ids[index] ?? '', performance.now(), outcome.bearer)
      } else if (outcome.kind === 'refused') ledger.refuse(publication)
      else ledger.doubt(publication)
    }
    if (outcome.kind === 'unexpected') {
      ledger.violations.add('gateway', `${door.name} got an unexpected answer: ${outcome.why}`, () => [])
    }
    const isOver = outcome.kind === 'acknowledged' || outcome.kind === 'unexpected'
    // A refusal of the first try is final. A refusal after an uncertain try says nothing about that try.
    if (isOver || !hasKey || turn === REPEATS || (turn === 0 && outcome.kind === 'refused')) return
    for (const publication of publications) publication.isRepeated = true
    await wait(REPEAT_MS)
  }
}

function withAllIds(outcome: Outcome, count: number): Outcome {
  if (outcome.kind !== 'acknowledged' || outcome.ids.length === count) return outcome
  return { kind: 'unexpected', why: `${outcome.ids.length} ids for ${count} events` }
}

function itemOf({ n, room }: Publication, hasKey: boolean, pad: string): Item {
  return { room, data: pad ? { n, room, pad } : { n, room }, key: hasKey ? `chaos-${n}` : undefined }
}
