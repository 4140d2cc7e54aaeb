// @ts-check
import { createEmitter } from '../../dist/src/emitter.js'
import { buildPayload, nowMicros } from './payload.mjs'
import { EVENT_TYPE } from './protocols.mjs'

// A worker that publishes directly through Redis with the product's emitter, as a user's worker does: one JavaScript object per event.

/** @type {Awaited<ReturnType<typeof createEmitter>> | undefined} */
let emitter
/** How many events each room was sent, by name. @type {Map<string, number>} */
const sent = new Map()

const calls = {
  /** @param {{ redisUrl: string }} where */
  async connect({ redisUrl }) {
    emitter = await createEmitter({ redisUrl })
  },

  /** @param {{ to: string, rooms: number, rate: number, seconds: number, batch: number, bytes: number }} how */
  async emit({ to, rooms, rate, seconds, batch, bytes }) {
    const total = Math.max(1, Math.round((rate * seconds) / batch))
    const start = performance.now()
    const cpuBefore = process.cpuUsage()
    /** @type {Promise<unknown>[]} */
    const answers = []
    /** @type {Error | undefined} */
    let failure
    const keep = (/** @type {Error} */ error) => {
      failure ??= error
    }
    for (let done = 0; done < total; ) {
      const due = Math.min(total, Math.floor((((performance.now() - start) / 1000) * rate) / batch) + 1)
      for (; done < due; done++)
        answers.push((batch === 1 ? emitOne(to, rooms, bytes) : emitMany(to, rooms, bytes, batch)).catch(keep))
      await new Promise(resolve => setTimeout(resolve, 1))
      if (failure !== undefined) break
    }
    await Promise.all(answers)
    if (failure !== undefined) throw failure
    const { user, system } = process.cpuUsage(cpuBefore)
    return { sent: total * batch, emitCpuMicros: user + system }
  },
}

/**
 * @param {string} to
 * @param {number} rooms
 * @param {number} bytes
 */
function emitOne(to, rooms, bytes) {
  const { room, data } = next(to, rooms, bytes)
  if (emitter === undefined) throw new Error('connect first')
  return to === 'user:'
    ? emitter.emit(room.slice(to.length), { type: EVENT_TYPE, data })
    : emitter.publish(room, { type: EVENT_TYPE, data })
}

/**
 * @param {string} to
 * @param {number} rooms
 * @param {number} bytes
 * @param {number} batch
 */
function emitMany(to, rooms, bytes, batch) {
  const events = Array.from({ length: batch }, () => {
    const { room, data } = next(to, rooms, bytes)
    return { to: room, type: EVENT_TYPE, data }
  })
  if (emitter === undefined) throw new Error('connect first')
  return emitter.publishMany(events)
}

/**
 * @param {string} to
 * @param {number} rooms
 * @param {number} bytes
 */
function next(to, rooms, bytes) {
  const room = `${to}${Math.floor(Math.random() * rooms)}`
  const number = sent.get(room) ?? 0
  sent.set(room, number + 1)
  return { room, data: JSON.parse(buildPayload(number, nowMicros(), bytes)) }
}

process.on(
  'message',
  async (/** @type {{ id: number, call: 'connect' | 'emit', argument: any }} */ { id, call, argument }) => {
    try {
      process.send?.({ id, result: (await calls[call](argument)) ?? {} })
    } catch (error) {
      process.send?.({ id, error: /** @type {Error} */ (error).message })
    }
  },
)

process.on('disconnect', async () => {
  await emitter?.close()
  process.exit()
})
