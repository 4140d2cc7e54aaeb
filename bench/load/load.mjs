// @ts-check
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { LOAD_CORE, pinned } from '../processes.mjs'

const WORKER = fileURLToPath(new URL('./worker.mjs', import.meta.url))

/** How long a process may take to close its sockets and end. */
const STOP_MS = 3000

/** A load generator: a separate process that executes calls and answers each. */
export class Load {
  #child
  #nextId = 1
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map()

  /** @param {string} [program] a worker's, or the emitter's */
  constructor(program = WORKER) {
    const [execPath, args] = pinned(LOAD_CORE, process.execPath, [])
    // fork() puts execArgv between the program and the script, where taskset expects its arguments.
    this.#child = fork(program, { execPath, execArgv: args, serialization: 'advanced' })
    this.#child.on('message', (/** @type {{ id: number, result?: unknown, error?: string }} */ answer) => {
      const waiting = this.#waiting.get(answer.id)
      this.#waiting.delete(answer.id)
      if (answer.error === undefined) waiting?.resolve(answer.result)
      else waiting?.reject(new Error(answer.error))
    })
    this.#child.on('exit', code => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the load generator ended with ${code}`))
    })
  }

  get pid() {
    return this.#child.pid ?? 0
  }

  /**
   * @param {string} call  one of the calls in worker.mjs
   * @param {object} [argument]
   * @returns {Promise<any>}
   */
  ask(call, argument = {}) {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.send({ id, call, argument })
    })
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const end = once(this.#child, 'exit')
    this.#child.disconnect()
    const impatience = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    await end
    clearTimeout(impatience)
  }
}
