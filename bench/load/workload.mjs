// @ts-check
import { Histogram } from './histogram.mjs'
import { buildPayload, nowMicros } from './payload.mjs'
import { PROTOCOLS } from './protocols.mjs'
import { Publisher } from './publisher.mjs'

const SENT_AT = 1 << 16
/** When nothing arrives for this long, the missing events count as lost. */
const SILENCE_MS = 5000

/**
 * How events are published: `rate` events a second, or as many as keep `window` events in flight per connection, or `count` events
 * as fast as they are answered. With `isWaiting: false` the publish returns once the last event is answered, delivered or not.
 * `batch` events go in one request. To a peer without batches, or with `isPipelined`, they go in one write of as many requests.
 * @typedef {{
 *   protocol: string, port: number, seconds: number, rate?: number, window?: number, batch?: number, isPipelined?: boolean, bytes?: number,
 *   connections?: number, order?: 'random' | 'round', count?: number, isWaiting?: boolean
 * }} Workload
 */

/**
 * Publishes to the rooms of a group, waits until the last event has reached the last connection, and returns the counts.
 * @param {import('./group.mjs').Group} group
 * @param {Workload} workload
 */
export async function publish(group, workload) {
  const {
    protocol: name,
    port,
    seconds,
    rate,
    window,
    batch = 1,
    isPipelined = false,
    bytes = 110,
    connections = 8,
    isWaiting = true,
  } = workload
  const protocol = PROTOCOLS[name]
  if (protocol === undefined) throw new Error(`unknown protocol '${name}'`)
  const { ledger } = group
  const publisher = new Publisher()
  // Open only the connections in use: the gateway cuts a connection that sends nothing.
  await publisher.connect(port, batch > 1 ? 1 : Math.min(connections, group.rooms))
  const nextRoom = roomChooser(group.rooms, workload.order ?? 'random')
  const sentAt = new Float64Array(SENT_AT)
  const firstNumber = group.sent[0] ?? 0
  let sent = 0
  let expected = 0
  ledger.reset()

  const sendBatch = () => {
    /** @type {import('./protocols.mjs').Outgoing[]} */
    const events = []
    const now = nowMicros()
    let lane = 0
    for (let i = 0; i < batch; i++) {
      const room = nextRoom()
      const number = group.sent[room] ?? 0
      group.sent[room] = number + 1
      expected += group.followers[room] ?? 0
      sentAt[number % SENT_AT] = now
      // A room's events must keep to one connection for their order. A batch may hold any room, so all batches share one.
      if (batch === 1) lane = room
      events.push({ room: group.roomName(room), json: buildPayload(number, now, bytes) })
    }
    sent += batch
    if (batch > 1 && protocol.batch && !isPipelined) publisher.send(protocol.batch(events), 1, lane)
    else publisher.send(events.map(protocol.publish).join(''), events.length, lane)
  }

  const start = nowMicros()
  if (workload.count !== undefined) await sendCount(workload.count, batch, publisher, sendBatch)
  else if (window !== undefined) {
    const perEvent = group.sockets.length / group.rooms
    await sendWindow({
      ledger,
      seconds,
      room: (window - batch) * perEvent,
      expected: () => expected,
      sendBatch,
      publisher,
    })
  } else await sendRate({ seconds, rate: rate ?? 20, batch, publisher, sendBatch, group })
  const sendSeconds = (nowMicros() - start) / 1e6
  await publisher.settled()
  if (isWaiting)
    await quiet(
      ledger,
      () => expected,
      () => publisher.failure !== '',
    )
  publisher.close()

  const missing = isWaiting ? expected - ledger.delivered : 0
  return {
    sent,
    delivered: ledger.delivered,
    missing,
    lost: ledger.lost,
    repeated: ledger.repeated,
    sendSeconds,
    seconds: (ledger.lastMicros - start) / 1e6,
    bytes: ledger.bytes,
    latency: ledger.latency.summary(),
    lastSocket: group.rooms === 1 ? lastSocket(ledger, sentAt, firstNumber, group.sent[0] ?? 0) : undefined,
    failure: publisher.failure || group.failure,
  }
}

/**
 * @param {{ seconds: number, rate: number, batch: number, publisher: Publisher, sendBatch: () => void, group: import('./group.mjs').Group }} what
 * @returns {Promise<void>}
 */
function sendRate({ seconds, rate, batch, publisher, sendBatch, group }) {
  const start = performance.now()
  const total = Math.max(1, Math.round((rate * seconds) / batch))
  let batches = 0
  return new Promise(resolve => {
    const step = () => {
      const due = Math.min(total, Math.floor((((performance.now() - start) / 1000) * rate) / batch) + 1)
      while (batches < due) {
        sendBatch()
        batches++
      }
      if (batches >= total || group.isStopping || publisher.failure !== '') resolve()
      else setTimeout(step, Math.max(1, Math.min(50, (batches * batch * 1000) / rate - (performance.now() - start))))
    }
    step()
  })
}

/**
 * @param {{
 *   ledger: import('./ledger.mjs').Ledger, seconds: number, room: number, expected: () => number, sendBatch: () => void,
 *   publisher: Publisher
 * }} what
 * @returns {Promise<void>}
 */
function sendWindow({ ledger, seconds, room, expected, sendBatch, publisher }) {
  return new Promise(resolve => {
    const end = performance.now() + seconds * 1000
    const pump = () => {
      while (expected() - ledger.delivered <= room && performance.now() < end) sendBatch()
      ledger.alarmAt = performance.now() < end ? expected() - room : Number.POSITIVE_INFINITY
    }
    ledger.onAlarm = pump
    pump()
    const watch = setInterval(() => {
      if (performance.now() < end && publisher.failure === '') return
      clearInterval(watch)
      ledger.alarmAt = Number.POSITIVE_INFINITY
      resolve()
    }, 10)
  })
}

/**
 * Sends a number of events as fast as they are answered, a few requests ahead.
 * @param {number} count
 * @param {number} batch
 * @param {Publisher} publisher
 * @param {() => void} sendBatch
 */
async function sendCount(count, batch, publisher, sendBatch) {
  const requestsAhead = 32
  for (let sent = 0; sent < count && publisher.failure === ''; sent += batch) {
    sendBatch()
    if (publisher.requests - publisher.answered > requestsAhead) await publisher.settled()
  }
}

/**
 * Resolves once all expected events have arrived, or nothing has arrived for `SILENCE_MS`.
 * @param {import('./ledger.mjs').Ledger} ledger
 * @param {() => number} expected
 * @param {() => boolean} [hasFailed]
 */
export async function quiet(ledger, expected, hasFailed = () => false) {
  let seen = -1
  let since = performance.now()
  while (ledger.delivered < expected() && !hasFailed()) {
    if (ledger.delivered !== seen) {
      seen = ledger.delivered
      since = performance.now()
    } else if (performance.now() - since > SILENCE_MS) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/**
 * The times from each event's publish to its arrival at the last connection.
 * @param {import('./ledger.mjs').Ledger} ledger
 * @param {Float64Array} sentAt
 * @param {number} first
 * @param {number} end
 */
function lastSocket(ledger, sentAt, first, end) {
  const histogram = new Histogram()
  for (let number = Math.max(first, end - SENT_AT); number < end; number++) {
    const arrival = ledger.lastArrival[number % SENT_AT] ?? 0
    if (arrival > 0) histogram.record(arrival - (sentAt[number % SENT_AT] ?? 0))
  }
  return histogram.summary()
}

/**
 * @param {number} rooms
 * @param {'random' | 'round'} order
 * @returns {() => number}
 */
function roomChooser(rooms, order) {
  if (rooms === 1) return () => 0
  if (order === 'round') {
    let turn = 0
    return () => turn++ % rooms
  }
  // xorshift32 chooses the same rooms in every run.
  let state = 0x2545f491
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % rooms
  }
}
