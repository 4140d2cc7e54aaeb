let end: Promise<void> | null = null

/**
 * Resolves when this turn of the event loop has read everything that had arrived. One promise for all who wait in a turn.
 *
 * Answers that wait for it leave one right behind the other. Written one by one, with a request's work between them, each
 * finds its reader asleep and pays for waking it, which costs more than the write: a third of a publish.
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
