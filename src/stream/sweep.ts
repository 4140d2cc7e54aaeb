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
 * What has to be done for open connections as time goes by: ends of credentials and ages, heartbeats, readers that do not
 * take their backlog. One pass over all of them, from one timer: no connection has a timer of its own.
 *
 * `time` is ms of the monotonic clock. `wallTime` is ms since 1970, looked at anew for each pass: the clock may be set, and
 * a credential's end means what it says then. `position` is what a heartbeat may move a live reader to.
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
 * Cuts those of the ending connections that did not take their last bytes in time: a reader that does not read must not keep
 * memory. A few in one turn of the event loop: freeing what the kernel holds for one takes up to half a millisecond, and live
 * events pass in between.
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

// Only a live reader has everything up to the position.
function beat(connection: Connection, heartbeat: Buffer | null): void {
  if (connection.isOpen && connection.recovery === null && heartbeat !== null) connection.write(heartbeat)
  else connection.writeComment()
}

// A minute before the end the reader is told once, so that it can come with a new credential.
function warnOfExpiry(hub: Hub, connection: Connection, leftMs: number): void {
  if (!connection.isOpen || connection.wasToldOfExpiry) return
  connection.wasToldOfExpiry = true
  const { expiresAt } = connection
  hub.enqueue(connection, encodeControl('stream.expiring', { expiresAt: expiresAt!, inMs: leftMs }))
  hub.flushOne(connection)
}
