// @ts-check
import net from 'node:net'
import { Ledger } from './ledger.mjs'
import { PROTOCOLS } from './protocols.mjs'
import { signToken } from './token.mjs'

/** One buffer for all sockets: each read is handled completely before the next one begins. */
const SHARED = Buffer.alloc(256 * 1024)
/** The ledger needs the last byte for its sentinel. */
const READ_INTO = SHARED.subarray(0, -1)

/** One source address has ports for about this many sockets. */
const SOCKETS_PER_ADDRESS = 25_000

const OPEN_TIMEOUT_MS = 15_000
const RETRY_MS = 1000

/**
 * Streams that are opened, cut and counted together. Connection i follows room `i % rooms`, and counts its events.
 *
 * A connection is opening (`greetings[i]` holds the bytes so far), open (`greetings[i]` is null), or gone
 * (`sockets[i]` is undefined). With `returns` a connection that the server ends comes back, as a browser does.
 */
export class Group {
  /** @type {Array<net.Socket | undefined>} */
  sockets
  ledger
  /** How many events each room was sent, and how many connections follow it. */
  sent
  followers
  opened = 0
  /** Streams that the server ended. */
  ended = 0
  /** Announced losses: streams that were told of an incomplete resume, and gaps. */
  announced = 0
  failure = ''
  returns = false
  isStopping = false
  #spec
  #protocol
  /** @type {Array<string | null>} */
  #greetings
  /** The last event id of each connection, kept for groups that resume. @type {string[]} */
  #lastIds
  /** A token for each connection's user, where the server wants one. @type {string[] | undefined} */
  #tokens
  /** @type {() => void} */
  #onOpened = () => {}

  /**
   * @param {{
   *   protocol: string, ports: number[], connections: number, room: string, rooms: number,
   *   resumes?: boolean, jwtSecret?: string, firstUser?: number, sampleEvery?: number
   * }} spec  `room` is '*', 'user:' or a room's name; the last two get a number appended
   */
  constructor(spec) {
    this.#spec = spec
    const protocol = PROTOCOLS[spec.protocol]
    if (protocol === undefined) throw new Error(`unknown protocol '${spec.protocol}'`)
    this.#protocol = protocol
    this.sockets = new Array(spec.connections).fill(undefined)
    this.ledger = new Ledger(spec.connections)
    this.ledger.sampleEvery = spec.sampleEvery ?? 1
    this.sent = new Uint32Array(spec.rooms)
    this.followers = new Uint32Array(spec.rooms)
    for (let i = 0; i < spec.rooms; i++) this.followers[i] = Math.ceil((spec.connections - i) / spec.rooms)
    this.#greetings = new Array(spec.connections).fill('')
    this.#lastIds = new Array(spec.connections).fill('')
    const { jwtSecret } = spec
    if (jwtSecret !== undefined) {
      this.#tokens = this.#lastIds.map((_, index) => signToken(jwtSecret, String((spec.firstUser ?? 0) + index)))
    }
  }

  get rooms() {
    return this.#spec.rooms
  }

  /** @param {number} index */
  roomName(index) {
    const { room } = this.#spec
    if (room === '*') return room
    return `${room}${(this.#spec.firstUser ?? 0) + index}`
  }

  /**
   * Opens every connection that is gone, `concurrency` at a time. Resolves once all are open.
   * @param {number} concurrency
   */
  async open(concurrency) {
    this.opened = this.sockets.reduce((count, socket) => count + (socket === undefined ? 0 : 1), 0)
    let next = 0
    const total = this.sockets.length
    await new Promise((resolve, reject) => {
      let progress = Date.now()
      const watch = setInterval(() => {
        if (this.failure !== '') finish(new Error(this.failure))
        else if (Date.now() - progress > OPEN_TIMEOUT_MS) finish(new Error(`${this.opened} of ${total} streams opened`))
      }, 200)
      const finish = (/** @type {Error | undefined} */ error) => {
        clearInterval(watch)
        this.#onOpened = () => {}
        if (error) reject(error)
        else resolve(undefined)
      }
      const openNext = () => {
        while (next < total && this.sockets[next] !== undefined) next++
        if (next < total) this.#connect(next++)
      }
      this.#onOpened = () => {
        progress = Date.now()
        if (this.opened >= total) finish(undefined)
        else openNext()
      }
      for (let i = 0; i < concurrency; i++) openNext()
    })
  }

  /** Resets every connection at once, like a load balancer that dies. */
  cut() {
    for (const [index, socket] of this.sockets.entries()) {
      socket?.resetAndDestroy()
      this.sockets[index] = undefined
      this.#greetings[index] = ''
      this.ledger.forget(index)
    }
  }

  /** Stops or resumes reading on every connection. @param {boolean} isReading */
  read(isReading) {
    for (const socket of this.sockets) {
      if (isReading) socket?.resume()
      else socket?.pause()
    }
  }

  /** @param {number} index */
  #connect(index) {
    const { ports, firstUser = 0, resumes } = this.#spec
    const socket = net.connect({
      port: /** @type {number} */ (ports[index % ports.length]),
      host: '127.0.0.1',
      ...sourceOf(index),
      noDelay: true,
      onread: {
        buffer: READ_INTO,
        callback: length => {
          this.#receive(index, socket, length)
          return true
        },
      },
    })
    this.sockets[index] = socket
    this.#greetings[index] = ''
    socket.write(
      this.#protocol.open({
        user: String(firstUser + index),
        room: this.roomName(index % this.#spec.rooms),
        lastEventId: resumes ? this.#lastIds[index] : undefined,
        token: this.#tokens?.[index],
      }),
      'latin1',
    )
    socket.on('error', error => {
      if (this.sockets[index] === socket && !this.returns) this.failure ||= error.message
    })
    socket.on('close', () => this.#closed(index, socket))
  }

  /**
   * @param {number} index
   * @param {net.Socket} socket
   * @param {number} length
   */
  #receive(index, socket, length) {
    try {
      const greeting = this.#greetings[index]
      if (greeting !== null) this.#greet(index, socket, greeting + SHARED.toString('latin1', 0, length))
      else if (this.#protocol.answerTo !== undefined) this.#answer(socket, length)
      this.ledger.read(index, SHARED, length)
      if (this.#spec.resumes) this.#keepId(index, length)
    } catch (error) {
      this.failure ||= /** @type {Error} */ (error).message
      socket.destroy()
    }
  }

  /**
   * @param {number} index
   * @param {net.Socket} socket
   * @param {string} received
   */
  #greet(index, socket, received) {
    const step = this.#protocol.greet(received)
    if (step === 'open') {
      if (received.includes('"resumed":false')) this.announced++
      this.#greetings[index] = null
      this.opened++
      this.#onOpened()
      return
    }
    // Forget the bytes of a step that was taken, so that it is not taken twice.
    this.#greetings[index] = step === 'wait' ? received : ''
    if (step !== 'wait') socket.write(step.send)
  }

  /**
   * @param {net.Socket} socket
   * @param {number} length
   */
  #answer(socket, length) {
    const answer = this.#protocol.answerTo?.(SHARED, length)
    if (answer !== undefined) socket.write(answer)
  }

  /**
   * @param {number} index
   * @param {number} length
   */
  #keepId(index, length) {
    const text = SHARED.toString('latin1', 0, length)
    if (text.includes('event: stream.gap')) this.announced++
    const at = text.lastIndexOf('id: ')
    const end = at === -1 ? -1 : text.indexOf('\n', at)
    if (end !== -1) this.#lastIds[index] = text.slice(at + 4, end).trim()
  }

  /**
   * @param {number} index
   * @param {net.Socket} socket
   */
  #closed(index, socket) {
    if (this.sockets[index] !== socket) return
    this.ended++
    this.sockets[index] = undefined
    this.ledger.forget(index)
    if (!this.returns) return
    const told = /retry: (\d+)/.exec(this.#greetings[index] ?? '')
    setTimeout(() => this.#connect(index), told ? Number(told[1]) : RETRY_MS).unref()
  }
}

/**
 * A separate source address for every 25,000 sockets. The first 25,000 are not bound to an address. The kernel then reuses a port
 * for other servers; for a bound socket it must find a port that is free on the whole machine.
 * @param {number} index
 */
function sourceOf(index) {
  const beyond = Math.floor(index / SOCKETS_PER_ADDRESS)
  return beyond === 0 ? {} : { localAddress: `127.0.0.${1 + beyond}` }
}
