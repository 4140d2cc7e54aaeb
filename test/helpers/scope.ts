/** Owns what a helper starts, and ends it: tap's `t`, or a `Scope`. Teardowns run in reverse order of registration. */
export interface Owner {
  teardown(release: () => unknown): void
}

/** An Owner for programs that are not tap tests. `close()` runs every teardown, last first, and reports the first failure. */
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
