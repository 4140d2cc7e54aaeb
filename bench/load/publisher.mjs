// @ts-check
import { once } from 'node:events'
import net from 'node:net'

const STATUS_LINE = Buffer.from('HTTP/1.1 ')

/**
 * Publishes over a few kept-alive HTTP/1.1 connections with pipelined requests, and counts the answers by their status lines.
 * `answered` may trail `requests`; `settled()` waits for the difference.
 */
export class Publisher {
  requests = 0
  answered = 0
  /** The first unsuccessful answer, or the error that broke a connection. */
  failure = ''
  /** @type {net.Socket[]} */
  #sockets = []
  /** @type {() => void} */
  #onSettled = () => {}

  /**
   * @param {number} port
   * @param {number} connections
   */
  async connect(port, connections) {
    this.#sockets = Array.from({ length: connections }, () => net.connect({ port, host: '127.0.0.1', noDelay: true }))
    await Promise.all(this.#sockets.map(socket => once(socket, 'connect')))
    for (const socket of this.#sockets) this.#countAnswers(socket)
  }

  /**
   * Sends one or several whole requests. Requests of one lane go over one connection, and only those keep their order.
   * @param {string} bytes
   * @param {number} requests
   * @param {number} lane
   */
  send(bytes, requests, lane) {
    this.requests += requests
    this.#sockets[lane % this.#sockets.length]?.write(bytes, 'latin1')
  }

  /** Resolves once every request is answered, or one has failed. */
  async settled() {
    if (this.#isSettled) return
    await new Promise(resolve => {
      this.#onSettled = () => resolve(undefined)
    })
  }

  close() {
    for (const socket of this.#sockets) socket.destroy()
  }

  get #isSettled() {
    return this.answered >= this.requests || this.failure !== ''
  }

  /** @param {net.Socket} socket */
  #countAnswers(socket) {
    /** The end of the last chunk, which may hold the beginning of a status line. @type {Buffer} */
    let rest = Buffer.alloc(0)
    socket.on('data', chunk => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let from = 0
      for (;;) {
        const at = bytes.indexOf(STATUS_LINE, from)
        if (at === -1 || at + 12 > bytes.length) {
          rest = bytes.subarray(at === -1 ? Math.max(from, bytes.length - STATUS_LINE.length + 1) : at)
          break
        }
        this.answered++
        if (bytes[at + 9] !== 0x32) this.#fail(bytes.toString('latin1', at, at + 600))
        from = at + 12
      }
      if (this.#isSettled) this.#onSettled()
    })
    socket.on('error', error => this.#fail(error.message))
    socket.on('close', () => {
      if (!this.#isSettled) this.#fail('a publishing connection was closed by the server')
    })
  }

  /** @param {string} failure */
  #fail(failure) {
    this.failure ||= failure
    this.#onSettled()
  }
}
