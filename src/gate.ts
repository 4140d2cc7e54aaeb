/**
 * Lets at most `limit` tasks run at once; others wait in the order they came. Without a limit, the reads of a
 * thundering herd would fill the connection to Redis, and publishes share it.
 */
export class Gate {
  readonly #limit: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Runs `task` when it is its turn, and resolves with its result. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) await new Promise<void>(resolve => this.#waiting.push(resolve))
    else this.#running++
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      // The next task takes over the place, so `#running` stays.
      if (next === undefined) this.#running--
      else next()
    }
  }
}
