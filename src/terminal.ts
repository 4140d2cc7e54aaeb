import { isatty } from 'node:tty'
import type { DestinationStream } from 'pino'

/** Where the log goes, and how a person is told where to look. */
export interface LogOutput {
  readonly destination: DestinationStream
  /** Shows `text` among the log lines, set apart from them; nothing where a machine reads. */
  announce(text: string): void
}

// A line a connection, each with a system call of its own, would be an eighth of a storm's work. So lines are written many at
// once, after half a second at the latest, by another thread, and all of them before the process exits. When nobody takes them, they are
// dropped past 16 MiB.
const FOR_MACHINES = { sync: false, minLength: 8_192, periodicFlush: 500, maxLength: 16 * 1_048_576 }

// A person waits for each line.
const FOR_PEOPLE = { sync: false, maxLength: 16 * 1_048_576 }

const STDOUT = 1

/**
 * The log on stdout: readable lines on a terminal when the optional package pino-pretty is there, else JSON. Colours unless
 * NO_COLOR or the terminal says otherwise.
 */
export async function openLog(): Promise<LogOutput> {
  const { default: pino } = await import('pino')
  // By its number: to touch process.stdout would open a stream that a pipe or a file does not need.
  const isTerminal = isatty(STDOUT)
  const hasColors = isTerminal && process.stdout.hasColors()
  const format = isTerminal ? await createFormat(hasColors) : null
  if (format === null) return { destination: pino.destination(FOR_MACHINES), announce: () => {} }
  const output = pino.destination(FOR_PEOPLE)
  return {
    destination: { write: line => void output.write(format(line)) },
    announce: text => void output.write(`\n  ${hasColors ? `\x1b[1;32m${text}\x1b[0m` : text}\n\n`),
  }
}

/** Makes a function that makes a readable line of a JSON one; null when pino-pretty is not there. */
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

// Decoded, a name that a client chose could move the cursor or rename the window. So escapes stay escaped, but `\n` and `\t`.
function withoutControls(line: string): string {
  return line
    .replace(/\\./g, pair => (/[ubfr]$/.test(pair) ? `\\${pair}` : pair))
    .replace(/[\x7f-\x9f]/g, control => `\\\\u00${control.charCodeAt(0).toString(16)}`)
}
