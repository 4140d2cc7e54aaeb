import { Writable } from 'node:stream'
import { SseParser } from './sse-parser.js'

/** Takes a stream's bytes inside this process. It takes them at once until `stall()`, and again after `flow()`. */
export class Output extends Writable {
  text = ''
  readonly blocks: { id?: string; event?: string; data?: string; retry?: number }[] = []
  readonly #parser = new SseParser(({ text, comments, ...block }) => void this.blocks.push(block))
  #isStalled = false
  #take: (() => void) | null = null

  constructor() {
    // Node's default differs between versions.
    super({ highWaterMark: 16_384 })
  }

  /** Takes no more bytes, like a reader that has stopped reading. */
  stall(): void {
    this.#isStalled = true
  }

  flow(): void {
    this.#isStalled = false
    const take = this.#take
    this.#take = null
    take?.()
  }

  /** All dispatched events, each as `type data`. */
  get events(): string[] {
    return this.blocks.filter(block => block.data !== undefined).map(({ event, data }) => `${event} ${data}`)
  }

  /** The data of all events except control events. */
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
    // As a peer does: it answers the end with its own.
    setImmediate(() => this.destroy())
    done()
  }
}
