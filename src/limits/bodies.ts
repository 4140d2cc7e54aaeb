import { heapShare } from '../heap.js'

/** Bounds on the bytes of request bodies. */
export interface BodiesOptions {
  /** All publishers together get this many bytes before shares count. */
  readonly amplyBytes?: number
  /** One publisher gets at most this many bytes. */
  readonly publisherBytes?: number
}

// A batch of 8 MiB that comes in pieces of one network packet each.
const WHOLE_BATCH_BYTES = 12 * 1_048_576

/** A piece of a body costs this beside its bytes, because it is an object of its own until the body is whole. */
export const PIECE_BYTES = 128

/**
 * Counts the bytes of request bodies from their first byte until their answer. All publishers together have an eighth of the heap
 * (16-512 MiB), and one publisher a quarter of that, but never less than one whole batch. If the eighth is taken, as much again is a
 * reserve: each publisher may then hold an equal share of the bytes that the others left. So publishers that hold on to their bytes,
 * however many, cannot keep the others out, and all together never hold more than twice the eighth.
 */
export class Bodies {
  readonly #amplyBytes: number
  readonly #publisherBytes: number
  readonly #heldBy = new Map<string, number>()
  #heldBytes = 0

  constructor({ amplyBytes = heapShare(1 / 8), publisherBytes }: BodiesOptions = {}) {
    this.#amplyBytes = amplyBytes
    this.#publisherBytes = publisherBytes ?? Math.max(amplyBytes / 4, WHOLE_BATCH_BYTES)
  }

  /** Bytes that are held now. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Bytes that this publisher holds now. */
  heldBy(who: string): number {
    return this.#heldBy.get(who) ?? 0
  }

  /** Takes bytes and returns `null`. If they are too many now, it takes none and returns how many the publisher may hold. */
  take(who: string, bytes: number): number | null {
    const held = this.heldBy(who)
    const allowed = this.#allowedTo(held, bytes)
    if (held + bytes > allowed) return allowed
    this.#heldBytes += bytes
    this.#heldBy.set(who, held + bytes)
    return null
  }

  /** Gives back bytes that `take` took. */
  release(who: string, bytes: number): void {
    const held = this.heldBy(who) - bytes
    this.#heldBytes -= bytes
    if (held > 0) this.#heldBy.set(who, held)
    else this.#heldBy.delete(who)
  }

  #allowedTo(held: number, bytes: number): number {
    if (this.#heldBytes + bytes <= this.#amplyBytes) return this.#publisherBytes
    const publishers = this.#heldBy.size + (held === 0 ? 1 : 0)
    const left = 2 * this.#amplyBytes - (this.#heldBytes - held)
    return Math.min(this.#publisherBytes, Math.floor(left / publishers))
  }
}
