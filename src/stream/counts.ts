import type { GapReason } from '../bus/bus.js'
import type { EndReason } from './connection.js'
import type { HubCounts } from './hub.js'

/** What a gateway counts beside its hub. */
export interface Counts {
  opened: number
  /** Ended connections by reason. */
  closed: Record<EndReason, number>
  /** Opened streams by what they were told: a first visit, everything missed follows, something may be lost. */
  resumed: { first: number; whole: number; lost: number }
  /** Events published here; repeated keys are not. */
  published: number
  /** Events that came from the bus, followed here or not. */
  received: number
  /** `stream.gap` events by reason. */
  gaps: Record<GapReason, number>
}

/** What the gateway counted since it started. */
export type GatewayCounts = HubCounts & Counts

/** Nothing counted yet. */
export function createCounts(): Counts {
  return {
    opened: 0,
    closed: { gone: 0, slow: 0, shutdown: 0, expired: 0, revoked: 0, replaced: 0, 'max-age': 0, overloaded: 0 },
    resumed: { first: 0, whole: 0, lost: 0 },
    published: 0,
    received: 0,
    gaps: { history: 0, reset: 0, failover: 0 },
  }
}
