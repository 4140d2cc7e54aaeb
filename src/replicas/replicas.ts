import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** A command of one replica to all of them, itself included. Tickets are named by their hash. */
export const ReplicaCommandSchema = Type.Union([
  /** End the user's streams whose credential was made at or before `at` (ms since 1970), and refuse such credentials. */
  Type.Object({ kind: Type.Literal('revoke-user'), userId: Type.String(), at: Type.Number() }),
  Type.Object({ kind: Type.Literal('revoke-ticket'), hash: Type.String() }),
  /** Another stream uses the ticket from now on: end those with a lower fence. */
  Type.Object({ kind: Type.Literal('replace-ticket'), hash: Type.String(), fence: Type.Integer() }),
  /** Changes nothing: is a stream with this ticket open? */
  Type.Object({ kind: Type.Literal('probe-ticket'), hash: Type.String() }),
  Type.Object({ kind: Type.Literal('disconnect'), connectionId: Type.String() }),
  /** A replica put lost revocations back: other replicas that looked meanwhile must look again. */
  Type.Object({ kind: Type.Literal('look-up-revocations') }),
])
export type ReplicaCommand = Static<typeof ReplicaCommandSchema>

/** Receives commands on one replica. */
export interface CommandHandler {
  /** Carries it out on this replica, and answers how many streams it was about. A replica on which it throws is not counted. */
  onCommand(command: ReplicaCommand): number
  /** Commands may have been missed before this: the handler must look up their effects. */
  onMissed(): void
  /** From now on commands may be missed, until `onMissed`. */
  onCutOff(): void
}

/**
 * Asks every replica at once. A replica that is connected gets each command once; one that was not connected gets `onMissed` when it
 * is back, and never the command.
 */
export interface Replicas {
  /** Makes commands reach `handler`. To be called once, before the adapter connects. */
  listen(handler: CommandHandler): void
  /**
   * Resolves with the sum of the answers that came within a second. A replica that answers later still carries the command out,
   * but is not counted.
   * @throws AccessUnavailable  Redis refused the command, or gave no answer in time: then replicas may have carried it out
   */
  ask(command: ReplicaCommand): Promise<number>
}

/** Returns the answer of `handler`; 0 without a handler, and for a command that this version does not know. */
export function carryOut(handler: CommandHandler | null, command: unknown): number {
  // A later version may ask for something that is about no stream of this one.
  return handler !== null && Value.Check(ReplicaCommandSchema, command) ? handler.onCommand(command) : 0
}
