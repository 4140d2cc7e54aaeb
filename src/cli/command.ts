/** One flag of a command, as `parseArgs` takes it, with what the help says about it. */
export interface Flag {
  readonly type: 'string' | 'boolean'
  /** The placeholder of the value in the help. */
  readonly value?: string
  readonly about: string
}

/** The given values, by flag. */
export type Values = Readonly<Record<string, string | boolean | undefined>>

/** A command of `tidings`. */
export interface Command {
  /** For the list of commands. */
  readonly summary: string
  /** Lines for the help, below the flags. */
  readonly examples: readonly string[]
  readonly flags: Readonly<Record<string, Flag>>
  /** Resolves with the exit code; `null` when the process lives on until something else ends it. */
  run(values: Values): Promise<number | null>
}

/** A command line that cannot be run: exit code 2. */
export class UsageError extends Error {}

/** Something that did not work out, said in one line: exit code 1. */
export class Failure extends Error {}

/** The text of a flag; `undefined` when it was not given. */
export function text(values: Values, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

/** @throws UsageError  when the flag was not given */
export function required(values: Values, name: string): string {
  const value = text(values, name)
  if (value === undefined || value === '') throw new UsageError(`--${name} is missing`)
  return value
}

/** A comma-separated flag. */
export function list(values: Values, name: string): string[] {
  const items = (text(values, name) ?? '').split(',')
  return items.map(item => item.trim()).filter(item => item !== '')
}

/** @throws UsageError  the value is no whole number */
export function whole(values: Values, name: string): number | undefined {
  const value = text(values, name)
  if (value === undefined) return undefined
  if (!/^\d{1,15}$/.test(value)) throw new UsageError(`--${name} is '${value}' but must be a whole number`)
  return Number(value)
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/**
 * A time such as `90s`, `15m`, `1h`, `7d`, in seconds.
 * @throws UsageError  for anything else
 */
export function seconds(values: Values, name: string): number | undefined {
  const value = text(values, name)
  if (value === undefined) return undefined
  const [, count, unit = ''] = /^([1-9]\d{0,8})([smhd])$/.exec(value) ?? []
  const unitSeconds = UNIT_SECONDS[unit]
  if (unitSeconds === undefined) throw new UsageError(`--${name} is '${value}' but must be a time such as 90s, 15m, 1h`)
  return Number(count) * unitSeconds
}

/** The help of one command. */
export function helpOf(name: string, { summary, flags, examples }: Command): string {
  const names = Object.entries(flags).map(([flag, { value }]) => `--${flag}${value === undefined ? '' : ` ${value}`}`)
  const width = Math.max(...names.map(each => each.length), 0)
  const lines = Object.values(flags).map(({ about }, i) => `  ${names[i]!.padEnd(width)}  ${about}`)
  return [
    `tidings ${name}: ${summary}`,
    ...(lines.length === 0 ? [] : ['', ...lines]),
    ...(examples.length === 0 ? [] : ['', ...examples.map(example => `  ${example}`)]),
    '',
  ].join('\n')
}
