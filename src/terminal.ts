import { isatty } from 'node:tty'
import type { DestinationStream } from 'pino'

/** Where the log goes, and how a person is told where to look. */
export interface LogOutput {
  readonly destination: DestinationStream
  /** Shows `text` among the log lines, set apart from them; nothing where a machine reads. */
  announce(text: string): void
  /**
   * Resolves when every line was written, the reader of the log is gone, or neither is known after half a second. To be called before
   * the process exits: the flush at its exit would try for ever to write to a reader that is gone.
   */
  flush(): Promise<void>
}

// In a thundering herd, one system call for each log line would be an eighth of the work. So another thread writes lines in batches, half
// a second late at most, and the rest before the process exits. If nobody reads them, lines past 16 MiB are dropped.
const FOR_MACHINES = { sync: false, minLength: 8_192, periodicFlush: 500, maxLength: 16 * 1_048_576 }

// A person waits for each line.
const FOR_PEOPLE = { sync: false, maxLength: 16 * 1_048_576 }

const STDOUT = 1
const FLUSH_TIMEOUT_MS = 500

/**
 * The log on stdout: readable lines on a terminal when the optional package pino-pretty is there, else JSON. Colours unless
 * NO_COLOR or the terminal says otherwise.
 */
export async function openLog(): Promise<LogOutput> {
  const { default: pino } = await import('pino')
  // The descriptor's number is used, because reading process.stdout opens a stream that a pipe or a file does not need.
  const isTerminal = isatty(STDOUT)
  const hasColors = isTerminal && process.stdout.hasColors()
  const format = isTerminal ? await createFormat(hasColors) : null
  if (format === null) {
    const destination = pino.destination(FOR_MACHINES)
    return { destination, announce: () => {}, flush: () => flushed(destination) }
  }
  const output = pino.destination(FOR_PEOPLE)
  return {
    destination: { write: line => void output.write(format(line)) },
    announce: text => void output.write(`\n  ${hasColors ? `\x1b[1;32m${text}\x1b[0m` : text}\n\n`),
    flush: () => flushed(output),
  }
}

function flushed(output: { flush(done: () => void): void }): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, FLUSH_TIMEOUT_MS).unref()
    // The callback gets an error if the reader is gone; the output drops everything from then on.
    output.flush(() => resolve())
  })
}

/** A function that turns a JSON line into a readable one; null when pino-pretty is not there. */
export async function createFormat(hasColors: boolean): Promise<((line: string) => string) | null> {
  try {
    const { prettyFactory } = await import('pino-pretty')
    const pretty = prettyFactory({ colorize: hasColors, singleLine: true, translateTime: 'SYS:HH:MM:ss.l' })
    return line => pretty(withoutControls(line))
  } catch {
    // It is optional, and how a log looks must not keep a gateway from starting.
    return null
  }
}

// Terminal injection: a client chooses names, and their decoded control characters could move the cursor or rename the window. So escapes
// stay escaped, except `\n` and `\t`.
function withoutControls(line: string): string {
  return line
    .replace(/\\./g, pair => (/[ubfr]$/.test(pair) ? `\\${pair}` : pair))
    .replace(/[\x7f-\x9f]/g, control => `\\\\u00${control.charCodeAt(0).toString(16)}`)
}
