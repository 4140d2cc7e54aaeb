import type { RevocationStore } from './revocations.js'
import type { SightingStore } from './sightings.js'
import type { TicketStore } from './tickets.js'

/** What replicas share about access. Each adapter makes all of them. */
export interface AccessStores {
  readonly tickets: TicketStore
  readonly revocations: RevocationStore
  readonly sightings: SightingStore
}
