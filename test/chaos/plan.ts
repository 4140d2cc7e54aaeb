import { Random } from './random.js'

/** Every kind of fault and its effect. */
export const FAULTS = {
  kill: 'a replica is killed (SIGKILL) and started again',
  freeze: 'Redis stops running (SIGSTOP) and goes on',
  flush: 'Redis is emptied (FLUSHALL)',
  empty: 'Redis is killed and comes back with nothing',
  crash: 'Redis is killed and comes back from its append-only file',
  partition: "one replica's link to Redis is cut, frozen or half-open",
  delay: 'every link to Redis gets slow',
  reset: 'every connection to Redis is reset',
  stall: 'readers stop reading while much is published to them',
  rolling: 'every replica is stopped (SIGTERM) and started again, one after the other',
  failover: 'Sentinel makes another Redis the master',
} as const

export type FaultKind = keyof typeof FAULTS

/** `single`: one Redis, and a separate link to it for every replica. `sentinel`: a master, two replicas and three sentinels. */
export type Topology = 'single' | 'sentinel'

export interface Fault {
  kind: FaultKind
  /** The variant, for kinds that have several. */
  way: string
  /** The replica's index, for faults of one replica. */
  replica: number
  forMs: number
  /** The calm before the fault. */
  calmMs: number
  /** True for the first of its kind, which is played even when the time is used up. */
  isRequired: boolean
  /** True when it begins before the previous fault is over. */
  overlaps: boolean
}

export interface Phase {
  topology: Topology
  faults: Fault[]
  /** How long the phase may take, with its start and settling. */
  forMs: number
}

export interface PlanOptions {
  seed: number
  minutes: number
  replicas: number
  kinds: readonly FaultKind[]
}

const IN_SENTINEL: readonly FaultKind[] = ['failover', 'kill', 'rolling', 'reset']
const SENTINEL_SHARE = 0.4
/** Time for starting, settling and ending a phase. */
export const PHASE_MS = 15_000

/**
 * Makes the faults of a run, the same for the same options. Every kind comes at least once, even if that takes longer than
 * `minutes`; more are drawn until the time is used. A slow machine leaves the last ones out.
 */
export function makePlan({ seed, minutes, replicas, kinds }: PlanOptions): Phase[] {
  const random = new Random(seed, 'plan')
  const single = kinds.filter(kind => kind !== 'failover')
  const sentinel = kinds.includes('failover') ? kinds.filter(kind => IN_SENTINEL.includes(kind)) : []
  const share = sentinel.length === 0 ? 0 : single.length === 0 ? 1 : SENTINEL_SHARE
  const draw = (topology: Topology, pool: readonly FaultKind[], ms: number): Phase[] => {
    if (pool.length === 0) return []
    // In the Sentinel phase only the failover is required: the other kinds came in the first phase.
    const first = topology === 'sentinel' && single.length > 0 ? [] : random.shuffled(pool)
    const required = topology === 'sentinel' ? 1 : first.length
    return [
      { topology, forMs: ms, faults: drawFaults(random, topology, first, required, pool, ms - PHASE_MS, replicas) },
    ]
  }
  const ms = minutes * 60_000
  return [...draw('single', single, ms * (1 - share)), ...draw('sentinel', sentinel, ms * share)]
}

function drawFaults(
  random: Random,
  topology: Topology,
  first: FaultKind[],
  required: number,
  pool: readonly FaultKind[],
  ms: number,
  replicas: number,
): Fault[] {
  const faults: Fault[] = []
  const ways = new Map<FaultKind, string[]>()
  let left = ms
  while (left > 0 || faults.length < required) {
    // With Sentinel every second fault is a failover, so that the other faults coincide with failovers.
    const isFailover = topology === 'sentinel' && faults.length % 2 === 0
    const kind = first[faults.length] ?? (isFailover ? 'failover' : random.pick(pool))
    const way = nextWay(random, kind, ways)
    const overlaps = faults.length >= pool.length && random.chance(0.2)
    const fault = { kind, way, replica: random.int(0, replicas - 1), forMs: lengthOf(random, kind), overlaps }
    const calmMs = random.int(1000, 3000)
    faults.push({ ...fault, calmMs, isRequired: faults.length < required })
    left -= calmMs + (overlaps ? 0 : fault.forMs + overheadOf(kind, replicas))
  }
  return faults
}

const WAYS: Partial<Record<FaultKind, string[]>> = {
  partition: ['cut', 'frozen', 'half-open'],
  failover: ['asked', 'killed', 'frozen', 'rolled back', 'split'],
}

/** Draws a variant; each comes once before any comes again. */
function nextWay(random: Random, kind: FaultKind, ways: Map<FaultKind, string[]>): string {
  const left = ways.get(kind) ?? []
  if (left.length === 0) left.push(...random.shuffled(WAYS[kind] ?? ['']))
  ways.set(kind, left)
  return left.pop() ?? ''
}

function lengthOf(random: Random, kind: FaultKind): number {
  switch (kind) {
    case 'kill':
      return random.int(300, 2000)
    case 'freeze':
      return random.int(2000, 7000)
    case 'partition':
      return random.int(3000, 14_000)
    case 'empty':
    case 'crash':
      return random.int(200, 3000)
    case 'delay':
      return random.int(2000, 4000)
    case 'stall':
      return random.int(3000, 5000)
    case 'failover':
      return random.int(500, 2000)
    default:
      return 0
  }
}

function overheadOf(kind: FaultKind, replicas: number): number {
  if (kind === 'rolling') return replicas * 3500
  return kind === 'failover' ? 5000 : kind === 'kill' || kind === 'stall' ? 1500 : 0
}
