import { createDraft, type Draft, MAX_BATCH_EVENTS, toJsonText } from './draft.js'
import { BatchTooLarge, InvalidItem } from './errors.js'
import type { Published } from './event.js'
import { EVERYONE, userRoom } from './room.js'

/** An event as JavaScript code publishes it; `data` is any value that JSON can express. */
export interface EventInput {
  readonly type: string
  readonly data?: unknown
  readonly ephemeral?: boolean | undefined
  readonly key?: string | undefined
}

/** An item of `publishMany`. `to` is a room: `session:abc`, `user:42`, or `*`. */
export interface AddressedInput extends EventInput {
  readonly to: string
}

/**
 * The methods with which an application publishes. A gateway and an emitter have the same.
 * @throws InvalidUser, InvalidRoom, InvalidType, InvalidKey, InvalidData, EventTooLarge, BatchTooLarge, InvalidItem  bad input
 * @throws BusUnavailable, BusUncertain, Closed  as `Bus.publish`
 */
export interface Publisher {
  /** Publishes to all streams of one user, on every replica. */
  emit(userId: string, event: EventInput): Promise<Published>
  /** Publishes to everyone. */
  broadcast(event: EventInput): Promise<Published>
  /** Publishes to a room: `session:abc`, `user:42`, `*`. */
  publish(room: string, event: EventInput): Promise<Published>
  /** Publishes all of them as one atomic step, or none; answers in order. */
  publishMany(events: readonly AddressedInput[]): Promise<Published[]>
}

/** A publisher on top of anything that takes drafts. */
export function createPublisher(take: (drafts: Draft[]) => Promise<Published[]>, maxEventBytes: number): Publisher {
  const draftOf = (room: string, event: EventInput, place: string): Draft =>
    createDraft(room, { ...event, data: toJsonText(event.data, place) }, maxEventBytes, place)

  const publish = async (room: string, event: EventInput, place: string): Promise<Published> => {
    const [published] = await take([draftOf(room, event, place)])
    return published!
  }
  return {
    emit: async (userId, event) => publish(userRoom(userId, 'emit()'), event, 'emit()'),
    broadcast: async event => publish(EVERYONE, event, 'broadcast()'),
    publish: async (room, event) => publish(room, event, 'publish()'),
    publishMany: async events => {
      checkBatchSize(events.length)
      return take(events.map((event, i) => itemOf(`publishMany()[${i}]`, place => draftOf(event.to, event, place))))
    },
  }
}

/** @throws BatchTooLarge */
export function checkBatchSize(items: number): void {
  if (items > MAX_BATCH_EVENTS) throw new BatchTooLarge(items, MAX_BATCH_EVENTS)
}

/**
 * Makes one item of a batch.
 * @throws InvalidItem  `make` threw; the message holds the place, the reason, and that nothing was published
 */
export function itemOf<T>(place: string, make: (place: string) => T): T {
  try {
    return make(place)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const why = error.message.startsWith(`${place}: `) ? error.message.slice(place.length + 2) : error.message
    const wrapped = new InvalidItem(place, why)
    wrapped.cause = error
    // A 413 stays a 413, and the code still says what is wrong with the item.
    if ('statusCode' in error && typeof error.statusCode === 'number') wrapped.statusCode = error.statusCode
    if ('code' in error && typeof error.code === 'string') wrapped.code = error.code
    throw wrapped
  }
}
