import { Writable } from 'node:stream'
import { SseParser } from './sse-parser.js'

/** Takes a stream's bytes inside this process, at once or only when told to. */
export class Output extends Writable {
  text = ''
  readonly blocks: { id?: string; event?: string; data?: string; retry?: number }[] = []
  readonly #parser = new SseParser(({ text, comments, ...block }) => void this.blocks.push(block))
  #isStalled = false
  #take: (() => void) | null = null

  constructor() {
    // Node's own differs between versions.
    super({ highWaterMark: 16_384 })
  }

  /** Stops to take bytes, as a reader that does not read. */
  stall(): void {
    this.#isStalled = true
  }

  flow(): void {
    this.#isStalled = false
    const take = this.#take
    this.#take = null
    take?.()
  }

  /** What was dispatched, as `type data`. */
  get events(): string[] {
    return this.blocks.filter(block => block.data !== undefined).map(({ event, data }) => `${event} ${data}`)
  }

  /** The data of all events that are no control events. */
  get data(): string[] {
    return this.blocks.filter(block => block.event?.startsWith('stream.') === false).map(({ data = '' }) => data)
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: () => void): void {
    const take = () => {
      this.text += bytes.toString('utf8')
      this.#parser.push(bytes)
      done()
    }
    if (this.#isStalled) this.#take = take
    else take()
  }

  override _final(done: () => void): void {
    // The peer answers the end with its own.
    setImmediate(() => this.destroy())
    done()
  }
}
