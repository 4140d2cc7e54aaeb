// An answer over HTTP must come within 2 s.
const ANSWER_TIMEOUT_MS = 1_500

/** The deadline for an answer that is asked for now, in ms of the monotonic clock. */
export function answerDeadline(): number {
  return performance.now() + ANSWER_TIMEOUT_MS
}

/**
 * Resolves as `answer` does.
 * @throws Error  there was no answer by `deadline`, in ms of the monotonic clock
 */
export function beforeDeadline<T>(answer: Promise<T>, deadline: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new Error('no answer of Redis in time'))
    // After a pause of the process, timers fire before answers that arrived meanwhile are read. So they get one more turn.
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
