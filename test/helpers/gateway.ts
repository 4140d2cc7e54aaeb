import { fileURLToPath } from 'node:url'
import { waitFor } from './deadline.js'
import { OwnedProcess } from './owned-process.js'
import { freePort } from './ports.js'
import type { Owner } from './scope.js'

/** One line of the gateway's log. */
export interface LogLine {
  level: number
  msg: string
  [field: string]: unknown
}

export interface GatewayOptions {
  /** `live` (the default) waits until /livez answers 200, `ready` until /readyz does too. */
  until?: 'live' | 'ready'
  /** Default 15000. */
  timeoutMs?: number
  /** Called with every log line as it comes. */
  onLog?: (line: LogLine) => void
  /** Arguments for node itself, such as ['--cpu-prof']. */
  nodeArgs?: string[]
}

/** A gateway process of the test's own, on 127.0.0.1. */
export interface Gateway {
  /** http://127.0.0.1:port */
  readonly url: string
  /** Where probes and metrics are: `url`, unless ADMIN_PORT is set. */
  readonly adminUrl: string
  readonly port: number
  /** 0 while it is not running. */
  readonly pid: number
  /** The log lines of all its runs so far. */
  readonly logs: readonly LogLine[]
  /** Everything it wrote, including lines that are not JSON. */
  readonly output: string
  readonly isRunning: boolean
  /** Sends SIGTERM and resolves with the exit code. */
  stop(ms?: number): Promise<number | null>
  /** Sends SIGKILL and resolves when it is gone. */
  kill(): Promise<void>
  freeze(): void
  thaw(): void
  signal(signal: NodeJS.Signals): void
  /** Resolves with the exit code when it ends. */
  readonly exited: Promise<number | null>
  /** Starts it again on the same port after its end, with its environment changed by `env`, and waits as the first start did. */
  restart(env?: Record<string, string>): Promise<void>
}

const SERVER = fileURLToPath(new URL('../../src/server.js', import.meta.url))
const START_TRIES = 5

/**
 * Starts `node dist/src/server.js` with these variables; of this process's own it gets only PATH, HOME and TMPDIR. Without
 * PORT it takes a free one. The gateway is gone with its owner.
 * @throws Error  quotes its last lines when it ends, or `timeoutMs` pass, before it is up
 */
export async function startGateway(
  owner: Owner,
  env: Record<string, string> = {},
  options: GatewayOptions = {},
): Promise<Gateway> {
  for (let tries = 1; ; tries++) {
    const port = env.PORT ?? `${await freePort()}`
    try {
      return await startOn(owner, { ...env, PORT: port }, options)
    } catch (error) {
      const isTaken = String(error).includes('EADDRINUSE')
      if (env.PORT !== undefined || !isTaken || tries === START_TRIES) throw error
    }
  }
}

/** Runs a gateway until it ends by itself; resolves with its exit code and everything it wrote. */
export async function runGateway(owner: Owner, env: Record<string, string>, ms = 15_000) {
  const gateway = new OwnedProcess({ command: process.execPath, args: [SERVER], env: { ...inherited(), ...env } })
  owner.teardown(() => gateway.kill())
  gateway.start()
  await waitFor(() => !gateway.isRunning, ms, 'the gateway to end by itself')
  return { code: await gateway.exited, output: gateway.lines.join('\n') }
}

async function startOn(owner: Owner, env: Record<string, string>, options: GatewayOptions): Promise<Gateway> {
  const logs: LogLine[] = []
  const plan = {
    command: process.execPath,
    args: [...(options.nodeArgs ?? []), SERVER],
    env: { ...inherited(), ...env },
    onLine: (line: string) => {
      const log = parseLog(line)
      if (!log) return
      logs.push(log)
      options.onLog?.(log)
    },
  }
  const gateway = new OwnedProcess(plan)
  owner.teardown(() => gateway.kill())
  let ports = { port: 0, adminPort: 0 }
  const start = async () => {
    const firstLog = logs.length
    gateway.start()
    ports = await untilUp(gateway, () => logs.slice(firstLog), options)
  }
  await start()
  return {
    get url() {
      return `http://127.0.0.1:${ports.port}`
    },
    get adminUrl() {
      return `http://127.0.0.1:${ports.adminPort}`
    },
    get port() {
      return ports.port
    },
    get pid() {
      return gateway.pid
    },
    get isRunning() {
      return gateway.isRunning
    },
    get exited() {
      return gateway.exited
    },
    get output() {
      return gateway.lines.join('\n')
    },
    logs,
    stop: ms => gateway.stop(ms),
    kill: () => gateway.kill(),
    freeze: () => gateway.freeze(),
    thaw: () => gateway.thaw(),
    signal: signal => gateway.signal(signal),
    restart: async (changes = {}) => {
      Object.assign(plan.env, { PORT: `${ports.port}` }, changes)
      await start()
    },
  }
}

async function untilUp(gateway: OwnedProcess, logs: () => LogLine[], options: GatewayOptions) {
  const { until = 'live', timeoutMs = 15_000 } = options
  const deadline = performance.now() + timeoutMs
  const isUp = async () => {
    if (!gateway.isRunning) return 'ended'
    const line = logs().find(log => log.msg === 'gateway listening')
    const port = Number(line?.port ?? 0)
    const adminPort = Number(line?.adminPort ?? port)
    if (!line || !(await answers(`http://127.0.0.1:${adminPort}/livez`))) return undefined
    if (until === 'ready' && !(await answers(`http://127.0.0.1:${adminPort}/readyz`))) return undefined
    return { port, adminPort }
  }
  const tail = () => gateway.lines.slice(-15).join('\n')
  const up = await waitFor(isUp, timeoutMs, `the gateway to be ${until}`).catch((cause: unknown) => {
    throw new Error(`the gateway was not ${until} after ${timeoutMs} ms; it wrote:\n${tail()}`, { cause })
  })
  if (up === 'ended') {
    const after = Math.round(timeoutMs - (deadline - performance.now()))
    throw new Error(`the gateway ended after ${after} ms with code ${await gateway.exited}; it wrote:\n${tail()}`)
  }
  return up
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}

function inherited(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env
  return { PATH, HOME, TMPDIR }
}

function parseLog(line: string): LogLine | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as LogLine // pino writes level and msg on every line
  } catch {
    return undefined
  }
}
