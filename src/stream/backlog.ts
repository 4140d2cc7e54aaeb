// From this size on, Node gives a Buffer memory of its own. Smaller ones share a pool of 8 KiB, and one waiting frame would keep all of
// it alive.
const LARGE_BYTES = 4_096
const MIN_BLOCK_BYTES = 1_024
const MAX_BLOCK_BYTES = 65_536

/**
 * Frames that wait for a peer, in order. Large frames are kept as they are and shared with other readers. Small frames are copied side
 * by side into blocks. So the memory of a backlog is about the sum of its bytes, however small its frames are.
 */
export class Backlog {
  /** Bytes that wait. */
  byteLength = 0
  #runs: Buffer[] = []
  // Small frames are copied into this block. The bytes behind `#start` are not in `#runs` yet.
  #block: Buffer = Buffer.alloc(0)
  #start = 0
  #used = 0

  /** Adds frames behind all others. */
  push(frames: Buffer): void {
    if (frames.length >= LARGE_BYTES) {
      this.#endRun()
      this.#runs.push(frames)
    } else {
      if (this.#used + frames.length > this.#block.length) this.#openBlock(frames.length)
      this.#used += frames.copy(this.#block, this.#used)
    }
    this.byteLength += frames.length
  }

  /** Everything that waits, oldest first; nothing waits afterwards. */
  takeAll(): Buffer[] {
    this.#endRun()
    const runs = this.#runs
    this.#runs = []
    this.byteLength = 0
    return runs
  }

  // Twice as large as the block before it, within limits, so that the unused end of a block is small beside the backlog.
  #openBlock(atLeast: number): void {
    this.#endRun()
    const size = Math.min(MAX_BLOCK_BYTES, Math.max(MIN_BLOCK_BYTES, 2 * this.#block.length))
    this.#block = Buffer.allocUnsafeSlow(Math.max(size, atLeast))
    this.#start = 0
    this.#used = 0
  }

  #endRun(): void {
    if (this.#used > this.#start) this.#runs.push(this.#block.subarray(this.#start, this.#used))
    this.#start = this.#used
  }
}
