import type { Event } from '../event.js'

// A record: seq and at (8 bytes each), the lengths of type and data (4 each), type and data in UTF-8, its own size (4).
const AT = 8
const TYPE_LENGTH = 16
const DATA_LENGTH = 20
const HEAD_BYTES = 24
const TAIL_BYTES = 4

/**
 * Recent events of one room in the order of their seqs, as bytes in one Buffer. As objects, events that are kept for hours would be
 * copied and marked by the garbage collector, at a higher cost than all other work on most of them.
 */
export class Records {
  #bytes: Buffer = Buffer.alloc(0)
  #start = 0
  #end = 0
  /** The number of events. */
  length = 0

  /** Bytes that the events take; the Buffer is at most twice as large. */
  get byteLength(): number {
    return this.#end - this.#start
  }

  /** Seq of the oldest event. */
  get firstSeq(): number {
    return this.#bytes.readDoubleLE(this.#start)
  }

  /** When the oldest event was published, in ms since 1970. */
  get firstAt(): number {
    return this.#bytes.readDoubleLE(this.#start + AT)
  }

  /** Adds an event after all others. Returns the bytes that it takes. */
  push({ cursor, at, type, data }: Event): number {
    const typeLength = Buffer.byteLength(type)
    const dataLength = Buffer.byteLength(data)
    const size = HEAD_BYTES + typeLength + dataLength + TAIL_BYTES
    this.#makeRoomFor(size)
    const bytes = this.#bytes
    const start = this.#end
    bytes.writeDoubleLE(cursor.seq, start)
    bytes.writeDoubleLE(at, start + AT)
    bytes.writeUInt32LE(typeLength, start + TYPE_LENGTH)
    bytes.writeUInt32LE(dataLength, start + DATA_LENGTH)
    bytes.write(type, start + HEAD_BYTES)
    bytes.write(data, start + HEAD_BYTES + typeLength)
    this.#end = start + size
    bytes.writeUInt32LE(size, this.#end - TAIL_BYTES)
    this.length++
    return size
  }

  /** Drops the oldest event; there must be one. Returns the bytes that it took. */
  shift(): number {
    const { typeLength, dataLength } = this.#lengths(this.#start)
    const size = HEAD_BYTES + typeLength + dataLength + TAIL_BYTES
    this.#start += size
    this.length--
    if (this.byteLength * 2 < this.#bytes.length) this.#move(Math.ceil(this.byteLength * 1.25))
    return size
  }

  /** Reads the events after `seq`, oldest first; `null` when there are none. Cost: one step for each of them. */
  readerAfter(seq: number): RecordsReader | null {
    let from = this.#end
    while (from > this.#start) {
      const before = from - this.#bytes.readUInt32LE(from - TAIL_BYTES)
      if (this.#bytes.readDoubleLE(before) <= seq) break
      from = before
    }
    return from === this.#end ? null : new RecordsReader(this.#bytes, from, this.#end)
  }

  #lengths(start: number): { typeLength: number; dataLength: number } {
    const bytes = this.#bytes
    return {
      typeLength: bytes.readUInt32LE(start + TYPE_LENGTH),
      dataLength: bytes.readUInt32LE(start + DATA_LENGTH),
    }
  }

  #makeRoomFor(size: number): void {
    const capacity = this.#bytes.length
    if (this.#end + size <= capacity) return
    const needed = this.byteLength + size
    // Moving the bytes to the front pays only if it frees a good part of the Buffer. Most rooms never get a second event.
    if (needed * 4 <= capacity * 3) this.#move(capacity)
    else this.#move(this.length === 0 ? needed : Math.ceil(needed * 1.5))
  }

  #move(capacity: number): void {
    const old = this.#bytes
    if (capacity !== old.length) this.#bytes = Buffer.allocUnsafeSlow(capacity)
    old.copy(this.#bytes, 0, this.#start, this.#end)
    this.#end -= this.#start
    this.#start = 0
  }
}

/** A place between the events of one room. Valid until the room's records change, so for one turn of the event loop at most. */
export class RecordsReader {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  /** True when every event was read. */
  get isDone(): boolean {
    return this.#at === this.#end
  }

  /** Seq of the next event; there must be one. */
  get seq(): number {
    return this.#bytes.readDoubleLE(this.#at)
  }

  /** Bytes of the next event's type and data. */
  get byteLength(): number {
    return this.#bytes.readUInt32LE(this.#at + TYPE_LENGTH) + this.#bytes.readUInt32LE(this.#at + DATA_LENGTH)
  }

  /** The next event, decoded; moves past it. */
  read(epoch: string, room: string): Event {
    const bytes = this.#bytes
    const start = this.#at
    const dataStart = start + HEAD_BYTES + bytes.readUInt32LE(start + TYPE_LENGTH)
    const dataEnd = dataStart + bytes.readUInt32LE(start + DATA_LENGTH)
    this.#at = dataEnd + TAIL_BYTES
    return {
      cursor: { epoch, seq: bytes.readDoubleLE(start) },
      room,
      type: bytes.toString('utf8', start + HEAD_BYTES, dataStart),
      at: bytes.readDoubleLE(start + AT),
      data: bytes.toString('utf8', dataStart, dataEnd),
      ephemeral: false,
    }
  }
}
