/**
 * A door that lets in so many a turn of the event loop; the others wait, first come first served. When thousands of
 * readers come back at once, their requests arrive within one turn, and whoever is served already would get nothing until
 * the last of them was.
 */
export class Admission {
  readonly #perTurn: number
  readonly #waiting: (() => void)[] = []
  #left: number
  #isTurnWatched = false

  constructor(perTurn: number) {
    this.#perTurn = perTurn
    this.#left = perTurn
  }

  /** Calls `go`: now while this turn has room, else in one of the next turns. */
  enter(go: () => void): void {
    this.#watchTurn()
    if (this.#left > 0) {
      this.#left--
      go()
    } else this.#waiting.push(go)
  }

  // The end of a turn makes room for the next, as long as somebody came in this one or waits.
  #watchTurn(): void {
    if (this.#isTurnWatched) return
    this.#isTurnWatched = true
    setImmediate(() => {
      this.#isTurnWatched = false
      const entering = this.#waiting.splice(0, this.#perTurn)
      this.#left = this.#perTurn - entering.length
      if (entering.length > 0) this.#watchTurn()
      for (const go of entering) go()
    })
  }
}
