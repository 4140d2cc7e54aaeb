import { type CommandHandler, carryOut, type ReplicaCommand, type Replicas } from './replicas.js'

/** A process that is its own and only replica. */
export class MemoryReplicas implements Replicas {
  readonly #onTrouble: (error: unknown) => void
  #handler: CommandHandler | null = null

  /** `onTrouble` gets the error that a handler threw. */
  constructor(onTrouble: (error: unknown) => void = () => {}) {
    this.#onTrouble = onTrouble
  }

  listen(handler: CommandHandler): void {
    this.#handler = handler
  }

  async ask(command: ReplicaCommand): Promise<number> {
    try {
      return carryOut(this.#handler, command)
    } catch (error) {
      this.#onTrouble(error)
      return 0
    }
  }
}
