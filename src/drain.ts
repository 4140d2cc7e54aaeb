const STEP_MS = 50

/**
 * Calls `end` for each of these, spread evenly over `windowMs`, so that their readers do not come back in one moment. Resolves
 * when the window is over, or as soon as `isNeeded` says that nobody is left.
 */
export async function spread<T>(
  items: readonly T[],
  windowMs: number,
  end: (item: T) => void,
  isNeeded: () => boolean,
): Promise<void> {
  const steps = Math.max(1, Math.floor(windowMs / STEP_MS))
  const startedAt = performance.now()
  for (let step = 0, from = 0; from < items.length && isNeeded(); step++) {
    const to = Math.ceil(((step + 1) * items.length) / steps)
    for (const item of items.slice(from, to)) end(item)
    from = to
    await until(startedAt + (step + 1) * STEP_MS)
  }
}

/** Resolves at this time, in ms of the monotonic clock. */
export function until(time: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, Math.max(0, time - performance.now())))
}
