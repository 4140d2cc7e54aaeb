import { parseArgs } from 'node:util'
import { FAULTS, type FaultKind } from './plan.js'

export interface ChaosOptions {
  seed: number
  minutes: number
  replicas: number
  clients: number
  faults: FaultKind[]
  /** Redis replicas that each publish waits for, in the Sentinel phase. */
  waitReplicas: number
}

export const USAGE = `Usage: npm run chaos -- [options]
  --seed N            the plan of faults, and what is published where (default: drawn, and printed)
  --minutes N         how long faults are injected, starting and settling included (default 3)
  --replicas N        gateway processes (default 3)
  --clients N         readers (default 300)
  --faults a,b        of: ${Object.keys(FAULTS).join(', ')} (default: all)
  --short             the same as --seed 1 --minutes 2.4 --clients 150: under three minutes, every kind of fault
  --wait-replicas N   REDIS_WAIT_REPLICAS of the gateways in the Sentinel phase, where a master has two replicas (default 1)
                      With 2 nothing acknowledged may be lost; with less a failover may take some, and readers are told.
`

/** @throws Error  for an unknown option or a value that is not allowed */
export function readOptions(args: string[]): ChaosOptions {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args,
    options: {
      short: { type: 'boolean' },
      seed: text,
      minutes: text,
      replicas: text,
      clients: text,
      faults: text,
      'wait-replicas': text,
    },
  })
  const { short = false } = values
  return {
    seed: number('seed', values.seed, short ? 1 : Math.floor(Math.random() * 1e6), 0),
    minutes: number('minutes', values.minutes, short ? 2.4 : 3, 0),
    replicas: number('replicas', values.replicas, 3, 1),
    clients: number('clients', values.clients, short ? 150 : 300, 1),
    faults: values.faults === undefined ? (Object.keys(FAULTS) as FaultKind[]) : kinds(values.faults), // its keys are fault kinds
    waitReplicas: number('wait-replicas', values['wait-replicas'], 1, 0),
  }
}

function number(name: string, text: string | undefined, fallback: number, least: number): number {
  const value = text === undefined ? fallback : Number(text)
  if (!Number.isFinite(value) || value < least)
    throw new Error(`--${name} is '${text}' but must be a number from ${least}`)
  return value
}

function kinds(text: string): FaultKind[] {
  const isKind = (name: string): name is FaultKind => Object.hasOwn(FAULTS, name)
  return text.split(',').map(name => {
    if (!isKind(name)) throw new Error(`--faults has '${name}' but must be some of ${Object.keys(FAULTS).join(', ')}`)
    return name
  })
}
