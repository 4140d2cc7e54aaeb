import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, type GatewayOptions, startGateway } from '../helpers/gateway.js'
import { OwnedProcess } from '../helpers/owned-process.js'
import type { Owner } from '../helpers/scope.js'

const PROBE = fileURLToPath(new URL('probe.js', import.meta.url))
const LIVEZ = fileURLToPath(new URL('livez.js', import.meta.url))

/** Options of a gateway with a small heap that reports how long its event loop is held. */
export const SMALL: GatewayOptions = { until: 'ready', nodeArgs: ['--max-old-space-size=128', '--import', PROBE] }

/** Starts a gateway with a small heap. Its report leaves out the time until it was ready. */
export async function startVictim(owner: Owner, env: Record<string, string>): Promise<Gateway> {
  const gateway = await startGateway(owner, env, SMALL)
  await longestHoldMs(gateway)
  return gateway
}

/** The longest time that the gateway's own work held its event loop since the last call, in ms. */
export async function longestHoldMs(gateway: Gateway): Promise<number> {
  const isHeld = ({ msg }: { msg: string }) => msg === 'held'
  const seen = gateway.logs.filter(isHeld).length
  gateway.signal('SIGWINCH')
  await waitFor(() => gateway.logs.filter(isHeld).length > seen, 10_000, 'the gateway to say how long it was held')
  return Number(gateway.logs.filter(isHeld).at(-1)!.longestMs)
}

/** The gateway's peak memory, in MiB. */
export function peakMemoryMiB({ pid }: Gateway): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024
}

/** How `/livez` answered at each address. */
export type Livez = Record<string, { asked: number; failed: number; longestMs: number }>

/** Asks `/livez` of these addresses from now on, from a separate process. Call the result to end that and get the answers. */
export function watchLivez(owner: Owner, urls: readonly string[]): () => Promise<Livez> {
  const watcher = new OwnedProcess({ command: process.execPath, args: [LIVEZ, ...urls] })
  owner.teardown(() => watcher.kill())
  watcher.start()
  return async () => {
    await watcher.stop()
    return JSON.parse(watcher.lines.at(-1) ?? '{}') as Livez // livez.ts prints it
  }
}
