import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { withDeadline } from './deadline.js'

export interface ProcessPlan {
  command: string
  args: string[]
  env?: NodeJS.ProcessEnv
  cwd?: string
  /** Called with every line of stdout and stderr. */
  onLine?: (line: string) => void
}

const KEPT_LINES = 20_000
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * A child process that dies with this process, and can be started again after its end.
 *
 * States: idle (before start(), `pid` is 0) -> running -> ended (`pid` is 0 again) -> running ...
 * A frozen process is a running one; stop() and kill() thaw it.
 */
export class OwnedProcess {
  readonly lines: string[] = []
  #plan: ProcessPlan
  #child: ChildProcess | undefined
  #exited: Promise<number | null> = Promise.resolve(null)

  constructor(plan: ProcessPlan) {
    this.#plan = plan
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  get isRunning(): boolean {
    return this.#child !== undefined
  }

  /** Resolves with the exit code of the current or last run; null when a signal ended it. */
  get exited(): Promise<number | null> {
    return this.#exited
  }

  /** @throws Error  when it is running already, or the command is not on PATH */
  start(): void {
    if (this.#child) throw new Error(`${this.#plan.command} is running already, as process ${this.pid}`)
    const [command, args] = guarded(this.#plan)
    const child = spawn(command, args, {
      env: this.#plan.env ?? process.env,
      cwd: this.#plan.cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    running.add(child)
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', line => this.#keep(line))
    }
    this.#exited = new Promise(resolve => {
      const end = (code: number | null) => {
        running.delete(child)
        if (this.#child === child) this.#child = undefined
        resolve(code)
      }
      child.once('error', error => {
        this.#keep(String(error))
        end(null)
      })
      // 'close' and not 'exit': only by 'close' have the last lines been read.
      child.once('close', end)
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  freeze(): void {
    this.signal('SIGSTOP')
  }

  thaw(): void {
    this.signal('SIGCONT')
  }

  /** Ends it with SIGTERM and resolves with its exit code. If it still runs after `ms`, kills it and reports that. */
  async stop(ms = 30_000): Promise<number | null> {
    if (!this.#child) return this.#exited
    this.thaw()
    this.signal('SIGTERM')
    try {
      return await withDeadline(this.#exited, ms, `the end of ${this.#plan.command} after SIGTERM`)
    } catch (error) {
      await this.kill()
      throw error
    }
  }

  /** Ends it with SIGKILL and resolves when it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.#exited
  }

  #keep(line: string): void {
    if (this.lines.length >= KEPT_LINES) this.lines.splice(0, KEPT_LINES / 2)
    this.lines.push(line)
    this.#plan.onLine?.(line)
  }
}

/** The full path of a command on PATH or in Debian's folders for daemons; undefined when there is none. */
export function findCommand(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return folders.map(folder => join(folder, name)).find(isExecutable)
}

function guarded({ command, args }: ProcessPlan): [string, string[]] {
  const path = command.includes('/') ? command : findCommand(command)
  if (!path) throw new Error(`'${command}' was not found on PATH`)
  const setpriv = process.platform === 'linux' ? findCommand('setpriv') : undefined
  // When this process is killed, no 'exit' handler runs. The kernel's parent-death signal ends the child then too.
  return setpriv ? [setpriv, ['--pdeathsig', 'KILL', path, ...args]] : [path, args]
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
