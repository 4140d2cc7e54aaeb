/**
 * Lets at most `limit` tasks run at once; others wait in the order they came. After a thundering herd of readers, their reads must not
 * fill the connection that publishes share with them.
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
      // The place goes to the next in line, if there is one.
      if (next === undefined) this.#running--
      else next()
    }
  }
}
