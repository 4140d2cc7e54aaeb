/** The first of a group waits for the others this long at most, in ms. */
const GATHER_MS = 5

/**
 * A door that opens for groups, first come first served. It stays shut while each turn of the event loop brings another request, until
 * the group is complete or `GATHER_MS` old. A request that comes alone waits for one turn.
 *
 * Node accepts one new connection in each turn, however many wait. A connection that is served alone runs through cold code and wakes its
 * reader alone; in a group it costs a fifth less. In a thundering herd, open streams wait for one group, not for the whole herd.
 */
export class Admission {
  readonly #groupSize: number
  readonly #now: () => number
  readonly #waiting: (() => void)[] = []
  /** When the first waiting request came, or the door last opened. */
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

  // Each turn's end decides, as long as a request waits.
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
