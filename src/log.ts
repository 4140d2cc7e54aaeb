/** The methods of a logger (pino) that the core uses. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Makes a function that is true for each key at most once in `ms`, so that lasting trouble does not repeat its line without end. */
export function atMostEvery(ms: number): (key: string) => boolean {
  const lastAt = new Map<string, number>()
  return key => {
    const now = performance.now()
    if (now - (lastAt.get(key) ?? Number.NEGATIVE_INFINITY) < ms) return false
    lastAt.set(key, now)
    return true
  }
}
