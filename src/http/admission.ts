/** For this long at most, in ms, the first of a group waits for the others. */
const GATHER_MS = 5

/**
 * A door that opens for groups, first come first served. It stays shut while each turn of the event loop brings somebody,
 * until the group is complete or `GATHER_MS` old; who comes alone waits for one turn.
 *
 * Node takes one new connection a turn, however many are there. Served one by one, each finds its code out of the caches and
 * its reader asleep; a group's cost a fifth less. When thousands come back at once, whoever is served already waits for one
 * group, not for all of them.
 */
export class Admission {
  readonly #groupSize: number
  readonly #now: () => number
  readonly #waiting: (() => void)[] = []
  /** When the first of those who wait came, or the door last opened. */
  #gatheringSince = 0
  #hasGrown = false
  #isTurnWatched = false

  /** `now` is in ms, on a monotonic clock. */
  constructor(groupSize: number, now: () => number = () => performance.now()) {
    this.#groupSize = groupSize
    this.#now = now
  }

  /** Calls `go` in one of the next turns. */
  enter(go: () => void): void {
    if (this.#waiting.length === 0) this.#gatheringSince = this.#now()
    this.#waiting.push(go)
    this.#hasGrown = true
    this.#watchTurn()
  }

  // Each turn's end decides, as long as somebody waits.
  #watchTurn(): void {
    if (this.#isTurnWatched) return
    this.#isTurnWatched = true
    setImmediate(() => {
      this.#isTurnWatched = false
      const entering = this.#isGathering() ? [] : this.#waiting.splice(0, this.#groupSize)
      if (entering.length > 0) this.#gatheringSince = this.#now()
      this.#hasGrown = false
      if (this.#waiting.length > 0) this.#watchTurn()
      for (const go of entering) go()
    })
  }

  #isGathering(): boolean {
    const isComplete = this.#waiting.length >= this.#groupSize
    return this.#hasGrown && !isComplete && this.#now() - this.#gatheringSince < GATHER_MS
  }
}
