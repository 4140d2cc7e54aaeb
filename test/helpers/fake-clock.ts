import { execFileSync } from 'node:child_process'
import { findCommand } from './owned-process.js'

/**
 * The environment of a process whose wall clock is wrong by `offsetS` seconds; its monotonic clock stays right. `undefined` where
 * libfaketime is not installed. The command `faketime` would not do: it stays between the process and its signals.
 */
export function fakeClock(offsetS: number): Record<string, string> | undefined {
  const command = findCommand('faketime')
  if (command === undefined) return undefined
  const library = execFileSync(command, ['-f', '+0s', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' }).trim()
  const FAKETIME = `${offsetS < 0 ? '' : '+'}${offsetS}s`
  return { LD_PRELOAD: library, FAKETIME, DONT_FAKE_MONOTONIC: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' }
}
