// An answer over HTTP must come within 2 s.
const ANSWER_TIMEOUT_MS = 1_500

/** When an answer that is asked for now is waited for no longer, in ms of the monotonic clock. */
export function answerDeadline(): number {
  return performance.now() + ANSWER_TIMEOUT_MS
}

/**
 * What `answer` resolves to.
 * @throws Error  it had not come by `deadline`, in ms of the monotonic clock
 */
export function beforeDeadline<T>(answer: Promise<T>, deadline: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new Error('no answer of Redis in time'))
    // A process that was held up finds its timers due before it has read what came meanwhile.
    const timer = setTimeout(() => setImmediate(giveUp), Math.max(0, deadline - performance.now()))
    answer.then(
      value => {
        clearTimeout(timer)
        resolve(value)
      },
      error => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}
