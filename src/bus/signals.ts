/** What one replica asks of all of them, itself included, at once. Tickets are named by their hash. */
export type Signal =
  /** End the user's streams whose credential was made at or before `at` (ms since 1970), and refuse such credentials. */
  | { readonly kind: 'revoke-user'; readonly userId: string; readonly at: number }
  | { readonly kind: 'revoke-ticket'; readonly hash: string }
  /** Another stream uses the ticket from now on: end those of earlier turns. */
  | { readonly kind: 'replace-ticket'; readonly hash: string; readonly turn: number }
  /** Changes nothing: is a stream with this ticket open? */
  | { readonly kind: 'probe-ticket'; readonly hash: string }
  | { readonly kind: 'disconnect'; readonly connectionId: string }
  /** Revocations that Redis had lost were put back: who looked meanwhile must look again. */
  | { readonly kind: 'look-up-revocations' }

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
