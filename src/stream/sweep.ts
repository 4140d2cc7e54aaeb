import type { Cursor } from '../cursor.js'
import type { CloseReason } from './close-reason.js'
import type { Connection } from './connection.js'
import { encodeControl, encodeHeartbeat } from './frame.js'
import type { Hub } from './hub.js'

/** What a sweep works with. */
export interface SweepOptions {
  readonly hub: Hub
  readonly heartbeatMs: number
  readonly disconnect: (connection: Connection, reason: CloseReason) => void
}

const EXPIRING_MS = 60_000
const RECOVERY_STALL_MS = 30_000
const STUCK_GRACE_MS = 5_000
const CUTS_A_TURN = 10

/** How long a stream lives that may become `maxAgeMs` old, give or take 20 %; 0 is for ever. */
export function lifetimeMs(maxAgeMs: number): number {
  return maxAgeMs === 0 ? Number.POSITIVE_INFINITY : maxAgeMs * (0.8 + Math.random() * 0.4)
}

/**
 * Does what time demands of open connections: ends those whose credential or age is over and those that do not take their backlog,
 * warns of expiry, sends heartbeats. It is one pass over all of them from one timer; no connection has a timer of its own.
 *
 * `time` is ms of the monotonic clock. `wallTime` is ms since 1970, read anew for each pass: a clock that was set since then must
 * count, because a credential names its end by the clock. A heartbeat moves live readers to `position`.
 */
export function sweepConnections(
  { hub, heartbeatMs, disconnect }: SweepOptions,
  time: number,
  wallTime: number,
  position: Cursor | null,
): void {
  const heartbeat = position === null ? null : encodeHeartbeat(position)
  for (const connection of hub.connections) {
    const leftMs = connection.expiresAt === null ? Number.POSITIVE_INFINITY : connection.expiresAt - wallTime
    if (leftMs <= 0) disconnect(connection, 'expired')
    else if (time >= connection.retiresAt) disconnect(connection, 'max-age')
    else if (hasStalled(connection, time)) disconnect(connection, 'slow')
    else {
      if (leftMs <= EXPIRING_MS) warnOfExpiry(hub, connection, leftMs)
      if (isSilent(connection, time - heartbeatMs)) beat(connection, heartbeat)
    }
  }
}

/**
 * Cuts ending connections whose reader did not take the last bytes in time, because such a reader must not keep memory. It cuts a few in
 * each turn of the event loop: the kernel takes up to half a millisecond to free one, and live events must pass in between.
 */
export function cutStuck(ending: Iterable<Connection>): void {
  const stuck = [...ending].filter(connection => connection.isStuck(STUCK_GRACE_MS))
  const cutFrom = (from: number): void => {
    const next = from + CUTS_A_TURN
    for (const connection of stuck.slice(from, next)) connection.destroy()
    if (next < stuck.length) setImmediate(cutFrom, next)
  }
  cutFrom(0)
}

// A page of backlog waits for a reader that takes nothing of it.
function hasStalled(connection: Connection, time: number): boolean {
  return connection.recovery !== null && connection.isBackedUp && connection.lastWriteAt < time - RECOVERY_STALL_MS
}

function isSilent(connection: Connection, since: number): boolean {
  return connection.lastWriteAt <= since && connection.pending === null && !connection.isBackedUp
}

// Only a live reader has everything up to the position; others get a comment, which moves nothing.
function beat(connection: Connection, heartbeat: Buffer | null): void {
  if (connection.isOpen && connection.recovery === null && heartbeat !== null) connection.write(heartbeat)
  else connection.writeComment()
}

// Told once, a minute before the end, so that the reader can come back with a new credential.
function warnOfExpiry(hub: Hub, connection: Connection, leftMs: number): void {
  if (!connection.isOpen || connection.wasToldOfExpiry) return
  connection.wasToldOfExpiry = true
  const { expiresAt } = connection
  hub.enqueue(connection, encodeControl('stream.expiring', { expiresAt: expiresAt!, inMs: leftMs }))
  hub.flushOne(connection)
}
