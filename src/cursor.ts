/**
 * A position in the bus's order: its holder has seen every event up to and including it. `epoch` names an unbroken count of the bus,
 * `seq` is a number in it. Nothing outside this file and bus/ may assume that a position is one number.
 */
export interface Cursor {
  readonly epoch: string
  readonly seq: number
}

const CURSOR = /^([a-z0-9]{1,16})-(0|[1-9][0-9]{0,15})$/

/** The text of a cursor, as it is sent for `id:` and comes back in `Last-Event-ID`. */
export function formatCursor(cursor: Cursor): string {
  return `${cursor.epoch}-${cursor.seq}`
}

/** Reads a cursor's text; `null` when it is not one, which a resume must treat as loss, never as completeness. */
export function parseCursor(text: string): Cursor | null {
  const match = CURSOR.exec(text)
  if (match === null) return null
  const seq = Number(match[2])
  return Number.isSafeInteger(seq) ? { epoch: match[1]!, seq } : null
}

/**
 * True when `a` is later than `b`. A bus delivers epochs one after the other, so a position in another epoch counts as later than
 * one that was seen before.
 */
export function isAfter(a: Cursor, b: Cursor): boolean {
  return a.epoch !== b.epoch || a.seq > b.seq
}
