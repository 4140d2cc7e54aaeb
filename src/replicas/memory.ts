import type { CommandHandler, ReplicaCommand, Replicas } from './replicas.js'

/** A process that is its own and only replica. */
export class MemoryReplicas implements Replicas {
  #handler: CommandHandler | null = null

  listen(handler: CommandHandler): void {
    this.#handler = handler
  }

  async ask(command: ReplicaCommand): Promise<number> {
    return this.#handler?.onCommand(command) ?? 0
  }
}
