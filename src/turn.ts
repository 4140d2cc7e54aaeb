let end: Promise<void> | null = null

/**
 * Resolves when this turn of the event loop has read everything that had arrived. All waiters of a turn share one promise.
 *
 * Answers that wait for it leave one right behind the other. An answer that is written alone finds its reader asleep. Waking
 * the reader costs more than the write: a third of a publish.
 */
export function endOfTurn(): Promise<void> {
  end ??= new Promise(resolve => {
    setImmediate(() => {
      end = null
      resolve()
    })
  })
  return end
}

// Other requests do not notice work of this length.
const STINT_MS = 4

const waiting: (() => void)[] = []

/**
 * Cooperative scheduling: a long piece of work asks `isOver` now and then, and pauses if so. In each turn of the event loop one paused
 * piece goes on, first come first served, so that many pieces at once do not hold up other requests.
 */
export class Stint {
  #startedAt = performance.now()

  /** True when other requests have waited for long enough. */
  get isOver(): boolean {
    return performance.now() - this.#startedAt > STINT_MS
  }

  /** Resolves in a later turn, which is this work's alone. */
  async pause(): Promise<void> {
    await new Promise<void>(resolve => {
      waiting.push(resolve)
      if (waiting.length === 1) setImmediate(goOn)
    })
    this.#startedAt = performance.now()
  }
}

function goOn(): void {
  waiting.shift()?.()
  if (waiting.length > 0) setImmediate(goOn)
}
