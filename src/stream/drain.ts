const STEP_MS = 50

/**
 * Ends every item of `live`, evenly spread over `windowMs`, so that readers do not all come back in one moment (a thundering herd).
 * `end` must take its item out of `live`. Items that joined meanwhile end with the window. It resolves early once `live` is empty:
 * items may leave by themselves.
 */
export async function spread<T>(live: ReadonlySet<T>, windowMs: number, end: (item: T) => void): Promise<void> {
  const items = [...live]
  const steps = Math.max(1, Math.floor(windowMs / STEP_MS))
  const startedAt = performance.now()
  for (let step = 0, from = 0; from < items.length && live.size > 0; step++) {
    const to = Math.ceil(((step + 1) * items.length) / steps)
    for (const item of items.slice(from, to)) end(item)
    from = to
    await until(startedAt + (step + 1) * STEP_MS)
  }
  for (const item of [...live]) end(item)
}

/** Resolves when `live` is empty, or after `withinMs`. */
export async function untilEmpty(live: ReadonlySet<unknown>, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs
  while (live.size > 0 && performance.now() < deadline) await until(performance.now() + 10)
}

// In ms of the monotonic clock.
function until(time: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, Math.max(0, time - performance.now())))
}
