import { type Static, Type } from '@sinclair/typebox'

/** What one replica asks of all of them, itself included, at once. Tickets are named by their hash. */
export const SignalSchema = Type.Union([
  /** End the user's streams whose credential was made at or before `at` (ms since 1970), and refuse such credentials. */
  Type.Object({ kind: Type.Literal('revoke-user'), userId: Type.String(), at: Type.Number() }),
  Type.Object({ kind: Type.Literal('revoke-ticket'), hash: Type.String() }),
  /** Another stream uses the ticket from now on: end those of earlier turns. */
  Type.Object({ kind: Type.Literal('replace-ticket'), hash: Type.String(), turn: Type.Integer() }),
  /** Changes nothing: is a stream with this ticket open? */
  Type.Object({ kind: Type.Literal('probe-ticket'), hash: Type.String() }),
  Type.Object({ kind: Type.Literal('disconnect'), connectionId: Type.String() }),
  /** Revocations that Redis had lost were put back: a replica that looked meanwhile must look again. */
  Type.Object({ kind: Type.Literal('look-up-revocations') }),
])
export type Signal = Static<typeof SignalSchema>

/** What a replica does with signals. */
export interface SignalHandler {
  /** Carries it out on this replica, and answers how many streams it was about. */
  onSignal(signal: Signal): number
  /** Signals may have been missed before this: what they would have said must be looked up. */
  onMissed(): void
  /** From now on signals may be missed, until `onMissed`. */
  onCutOff(): void
}

/**
 * Carries signals between replicas: each that is connected gets each signal once, and one that was not connected gets
 * `onMissed` when it is back, never the signal.
 */
export interface Signals {
  /** Makes signals reach `handler`. To be called once, before the bus connects. */
  listen(handler: SignalHandler): void
  /**
   * Resolves with the sum of what the replicas answered, at most a second after it was sent: a replica that answers later
   * still carries it out, but is not counted.
   * @throws AccessUnavailable  it was not sent
   */
  send(signal: Signal): Promise<number>
}

/** Signals of a single process. */
export class MemorySignals implements Signals {
  #handler: SignalHandler | null = null

  listen(handler: SignalHandler): void {
    this.#handler = handler
  }

  async send(signal: Signal): Promise<number> {
    return this.#handler?.onSignal(signal) ?? 0
  }
}
