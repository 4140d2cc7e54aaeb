import { type Static, Type } from '@sinclair/typebox'
import type { Cursor } from './cursor.js'

/** The answer to a publish: where the event stands in the bus's order. */
export const PublishedSchema = Type.Object({
  id: Type.String({ description: 'The event id that streams will carry.', examples: ['k3f9a1c2-7'] }),
  room: Type.String({ examples: ['user:42'] }),
  at: Type.Integer({ description: "When the bus accepted the event, in ms since 1970, by the bus's clock." }),
  duplicate: Type.Optional(
    Type.Boolean({ description: 'True when the key was used before; this is the first answer.' }),
  ),
})
export type Published = Static<typeof PublishedSchema>

/** Why events may be missing: history no longer holds them, the bus forgot everything, or a failover rolled it back. */
export const GAP_REASONS = ['history', 'reset', 'failover'] as const
export type GapReason = (typeof GAP_REASONS)[number]

/** An event with its place in the bus's order. `at` is in ms since 1970; `data` is JSON text, never parsed on the way. */
export interface Event {
  readonly cursor: Cursor
  readonly room: string
  readonly type: string
  readonly at: number
  readonly data: string
  readonly ephemeral: boolean
}
