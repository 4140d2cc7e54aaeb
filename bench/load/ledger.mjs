// @ts-check
import { Histogram } from './histogram.mjs'
import { DOT_AT, MARK_END_AT, MARK_LENGTH, MARK_START, nowMicros } from './payload.mjs'

/** For this many recent events of a single room, the ledger keeps the time of the last arrival. */
const RECENT = 1 << 16

/**
 * Counts the events that arrive on the connections of one group, from raw bytes.
 *
 * Each connection counts one room, whose events carry the numbers 0, 1, 2 .. `expected[i]` is the number that connection i must see
 * next. A lower number was repeated or reordered; a higher one shows that events were lost or are late, which is just as wrong.
 * Nothing is allocated per event.
 */
export class Ledger {
  delivered = 0
  bytes = 0
  lost = 0
  repeated = 0
  lastMicros = 0
  latency = new Histogram()
  expected
  /** The latest arrival of each recent event so far; it has a meaning only when all connections count the same room. */
  lastArrival = new Float64Array(RECENT)
  /** Called once as soon as `delivered` reaches `alarmAt`. @type {() => void} */
  onAlarm = () => {}
  alarmAt = Number.POSITIVE_INFINITY
  /** The events of every n-th connection go into `latency`. */
  sampleEvery = 1
  #carry
  #carried
  #stride = MARK_LENGTH

  /** @param {number} connections */
  constructor(connections) {
    this.expected = new Uint32Array(connections)
    this.#carry = Buffer.alloc(connections * MARK_LENGTH)
    this.#carried = new Uint8Array(connections)
  }

  /** Begins a new count, and keeps the next number that each connection expects. */
  reset() {
    this.delivered = 0
    this.bytes = 0
    this.lost = 0
    this.repeated = 0
    this.latency = new Histogram()
    this.lastArrival.fill(0)
  }

  /** Forgets the unfinished bytes of a connection that was cut. @param {number} connection */
  forget(connection) {
    this.#carried[connection] = 0
  }

  /**
   * Counts the events in the first `length` bytes of `chunk`, which is not kept. The byte behind them is overwritten.
   * @param {number} connection
   * @param {Buffer} chunk
   * @param {number} length
   */
  read(connection, chunk, length) {
    const now = nowMicros()
    this.bytes += length
    // A sentinel: searches end here and do not run on through the rest of the 256 KiB buffer.
    chunk[length] = MARK_START
    let position = 0
    if (this.#carried[connection] !== 0) position = this.#finishCarried(connection, chunk, length, now)
    while (position < length) {
      // Events of one room have the same length, so the next mark is nearly always one stride further.
      if (chunk[position] !== MARK_START) {
        position = chunk.indexOf(MARK_START, position)
        if (position >= length) break
      }
      if (position + MARK_LENGTH > length) {
        this.#carried[connection] = chunk.copy(this.#carry, connection * MARK_LENGTH, position, length)
        break
      }
      this.#count(connection, chunk, position, now)
      position += this.#nextStride(chunk, position, length)
    }
    if (this.delivered >= this.alarmAt) {
      this.alarmAt = Number.POSITIVE_INFINITY
      this.onAlarm()
    }
  }

  /**
   * @param {number} connection
   * @param {Buffer} chunk
   * @param {number} length
   * @param {number} now
   */
  #finishCarried(connection, chunk, length, now) {
    const start = connection * MARK_LENGTH
    const have = this.#carried[connection] ?? 0
    const taken = Math.min(MARK_LENGTH - have, length)
    chunk.copy(this.#carry, start + have, 0, taken)
    this.#carried[connection] = have + taken
    if (have + taken === MARK_LENGTH) {
      this.#carried[connection] = 0
      this.#count(connection, this.#carry, start, now)
    }
    return taken
  }

  /**
   * @param {Buffer} chunk
   * @param {number} position
   * @param {number} length
   */
  #nextStride(chunk, position, length) {
    const guess = position + this.#stride
    if (guess < length && chunk[guess] === MARK_START) return this.#stride
    if (position + MARK_LENGTH >= length) return length - position
    const next = chunk.indexOf(MARK_START, position + MARK_LENGTH)
    if (next >= length) return length - position
    this.#stride = next - position
    return this.#stride
  }

  /**
   * @param {number} connection
   * @param {Buffer} bytes
   * @param {number} at
   * @param {number} now
   */
  #count(connection, bytes, at, now) {
    if (bytes[at + DOT_AT] !== 0x2e || bytes[at + MARK_END_AT] !== 0x21) {
      throw new Error(`damaged event on connection ${connection}: ${bytes.toString('latin1', at, at + MARK_LENGTH)}`)
    }
    const number = digits(bytes, at + 1, at + DOT_AT)
    const expected = this.expected[connection] ?? 0
    if (number < expected) {
      this.repeated++
      return
    }
    if (number > expected) this.lost += number - expected
    this.expected[connection] = number + 1
    this.delivered++
    this.lastMicros = now
    this.lastArrival[number % RECENT] = now
    if (connection % this.sampleEvery === 0) {
      this.latency.record(now - digits(bytes, at + DOT_AT + 1, at + MARK_END_AT))
    }
  }
}

/**
 * @param {Buffer} bytes
 * @param {number} from
 * @param {number} to
 */
function digits(bytes, from, to) {
  let value = 0
  for (let at = from; at < to; at++) value = value * 10 + (bytes[at] ?? 48) - 48
  return value
}
