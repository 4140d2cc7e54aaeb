import { setTimeout as wait } from 'node:timers/promises'

const POLL_MS = 10

type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>

/**
 * Resolves with the first truthy value that `condition` returns. A condition that throws counts as not met yet.
 * @throws Error  names `what` when `ms` have passed; its cause is the condition's last error
 */
export async function waitFor<T>(condition: () => T | Promise<T>, ms: number, what: string): Promise<Truthy<T>> {
  const end = performance.now() + ms
  let cause: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value as Truthy<T> // the line tests it
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (performance.now() >= end) throw new Error(`waited ${ms} ms in vain for ${what}`, { cause })
    await wait(POLL_MS)
  }
}

/** Settles as `promise` does. @throws Error  names `what` when `ms` have passed first */
export async function withDeadline<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
