/** Whoever owns what a helper starts: tap's `t`, or a Scope of one's own. Teardowns run last registered first. */
export interface Owner {
  teardown(release: () => unknown): void
}

/** An Owner for programs that are no tap test. `close()` runs every teardown, last first, and reports the first failure. */
export class Scope implements Owner {
  #releases: (() => unknown)[] = []

  teardown(release: () => unknown): void {
    this.#releases.push(release)
  }

  async close(): Promise<void> {
    let failure: unknown
    for (let release = this.#releases.pop(); release; release = this.#releases.pop()) {
      try {
        await release()
      } catch (error) {
        failure ??= error
      }
    }
    if (failure) throw failure
  }
}
