// @ts-check

/**
 * Every payload is one JSON object that ends in a mark of 26 bytes: `~<number>.<microseconds>!"}`. Readers find the mark in the
 * raw bytes without parsing. The number counts the events of a room from 0. The time is the machine's monotonic clock, the same
 * for all processes.
 */
export const MARK_LENGTH = 26
export const MARK_START = 0x7e // '~'
export const DOT_AT = 11
export const MARK_END_AT = 25

const HEAD = '{"jobId":4711,"status":"complete","note":"'
const TAIL_LENGTH = '!"}'.length

/**
 * The payload of event `number` of its room, sent at `micros`, `bytes` long (at least 70).
 * @param {number} number
 * @param {number} micros
 * @param {number} bytes
 */
export function buildPayload(number, micros, bytes) {
  const filling = fillingOf(bytes - HEAD.length - MARK_LENGTH - TAIL_LENGTH + 1)
  return `${HEAD}${filling}~${String(number).padStart(10, '0')}.${String(Math.trunc(micros)).padStart(13, '0')}!"}`
}

/** @type {Map<number, string>} */
const fillings = new Map()

/** @param {number} length */
function fillingOf(length) {
  const known = fillings.get(length)
  if (known !== undefined) return known
  if (length < 0) throw new RangeError(`a payload has at least ${HEAD.length + MARK_LENGTH + TAIL_LENGTH - 1} bytes`)
  const filling = 'all quiet on the wire '.repeat(Math.ceil(length / 22)).slice(0, length)
  fillings.set(length, filling)
  return filling
}

const [seconds, nanoseconds] = process.hrtime()
const offsetMicros = seconds * 1e6 + nanoseconds / 1e3 - performance.now() * 1e3

/** The machine's monotonic clock in microseconds, comparable between processes. */
export function nowMicros() {
  return offsetMicros + performance.now() * 1e3
}
