/**
 * Frames that are pending for one or more connections, in order. Connections with the same pending frames stand on the same node of
 * a tree, so their bytes are joined once and shared.
 */
export class FrameChain {
  readonly byteLength: number
  readonly #before: FrameChain | null
  readonly #frame: Buffer
  #next: FrameChain | null = null
  #bytes: Buffer | null = null

  constructor(before: FrameChain | null, frame: Buffer) {
    this.#before = before
    this.#frame = frame
    this.byteLength = frame.length + (before === null ? 0 : before.byteLength)
  }

  /** These frames and then `frame`. Callers that append the same frame get the same node. */
  append(frame: Buffer): FrameChain {
    if (this.#next === null || this.#next.#frame !== frame) this.#next = new FrameChain(this, frame)
    return this.#next
  }

  /** All frames as one Buffer; joined at the first call. */
  get bytes(): Buffer {
    if (this.#bytes === null) this.#bytes = this.#before === null ? this.#frame : this.#join()
    return this.#bytes
  }

  #join(): Buffer {
    const bytes = Buffer.allocUnsafeSlow(this.byteLength)
    let end = this.byteLength
    for (let node: FrameChain | null = this; node !== null; node = node.#before) {
      end -= node.#frame.length
      node.#frame.copy(bytes, end)
    }
    return bytes
  }
}
