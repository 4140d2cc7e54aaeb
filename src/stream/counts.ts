import { GAP_REASONS, type GapReason } from '../event.js'
import { END_REASONS, type EndReason } from './close-reason.js'
import type { HubCounts } from './hub.js'

/** Counts of a gateway, beside those of its hub. */
export interface Counts {
  opened: number
  /** Ended connections by reason. */
  closed: Record<EndReason, number>
  /** Opened streams by what `stream.open` said: a first visit, everything missed follows, something may be lost. */
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
    closed: zeroOf(END_REASONS),
    resumed: { first: 0, whole: 0, lost: 0 },
    published: 0,
    received: 0,
    gaps: zeroOf(GAP_REASONS),
  }
}

function zeroOf<Name extends string>(names: readonly Name[]): Record<Name, number> {
  // Safe: it has every name that the type names.
  return Object.fromEntries(names.map(name => [name, 0])) as Record<Name, number>
}
