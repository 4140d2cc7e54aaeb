import { setTimeout as wait } from 'node:timers/promises'
import { createEmitter } from '../../src/emitter.js'
import { waitFor } from '../helpers/deadline.js'
import { Scope } from '../helpers/scope.js'
import { Crowd } from './crowd.js'
import { createEmitterDoor, createHttpDoor } from './doors.js'
import { INJECTORS, type World } from './faults.js'
import { Ledger, type Reconciliation } from './ledger.js'
import type { ChaosOptions } from './options.js'
import { type Fault, PHASE_MS, type Phase } from './plan.js'
import { Press } from './presses.js'
import { Random } from './random.js'
import { REDIS_REPLICAS, type Stage, startSentinelStage, startSingleStage } from './stage.js'

export interface PhaseResult extends Reconciliation {
  topology: string
  /** The faults of the plan that fitted into the time. */
  played: Fault[]
  tallies: Map<string, number>
  /** The slowest answer to a publish over HTTP. */
  slowestAnswerMs: number
  /** From the last fault until the last reader had everything. */
  settledMs: number
  epochs: number
}

const HTTP_PRESSES = 4
const EMITTER_PRESSES = 2
const PAUSE_MS = 40
const ROOMS = 30
const STALLING = 6
const CHURN_MS = 200
const READY_MS = 40_000
const SETTLE_MS = 20_000
const LOOK_MS = 250
const SHOWN_LOSSES = 30

/** Plays one phase of the plan from start to account. When this settles, all its processes and sockets are gone. */
export async function playPhase(
  phase: Phase,
  options: ChaosOptions,
  say: (text: string) => void,
): Promise<PhaseResult> {
  const scope = new Scope()
  try {
    const waitReplicas = phase.topology === 'sentinel' ? options.waitReplicas : 0
    const start = phase.topology === 'single' ? startSingleStage : startSentinelStage
    const stage = await start(scope, { replicas: options.replicas, waitReplicas })
    return await play(scope, stage, phase, options, say)
  } finally {
    await scope.close()
  }
}

async function play(scope: Scope, stage: Stage, phase: Phase, options: ChaosOptions, say: (text: string) => void) {
  const startedAt = performance.now()
  const ledger = new Ledger()
  const random = (name: string) => new Random(options.seed, `${phase.topology} ${name}`)
  const rooms = Array.from({ length: ROOMS }, (_, index) => `project:${index}`)
  const users = Array.from({ length: Math.ceil(options.clients * 0.8) }, (_, index) => `u${index}`)
  const urls = stage.gateways.map(({ url }) => url)
  const crowdOptions = { ledger, random: random('crowd'), urls, users, rooms, readers: options.clients }
  const crowd = new Crowd({ ...crowdOptions, stalling: Math.min(STALLING, options.clients), churnMs: CHURN_MS })
  scope.teardown(() => crowd.close())
  await crowd.open()

  let slowestAnswerMs = 0
  const onAnswer = (ms: number) => {
    slowestAnswerMs = Math.max(slowestAnswerMs, ms)
  }
  const takeTurns = (by: Random) => () => by.pick(urls)
  const doors = Array.from({ length: HTTP_PRESSES }, (_, index) =>
    createHttpDoor(`http ${index}`, takeTurns(random(`door ${index}`)), onAnswer),
  )
  for (let index = 0; index < EMITTER_PRESSES; index++) {
    doors.push(createEmitterDoor(`emitter ${index}`, createEmitter(stage.emitterOptions)))
  }
  const presses = doors.map(
    (door, index) => new Press(door, { ledger, random: random(`press ${index}`), rooms, users, pauseMs: PAUSE_MS }),
  )
  scope.teardown(() => Promise.all(presses.map(press => press.stop())))
  const bulkDoor = createHttpDoor('bulk', takeTurns(random('bulk')), onAnswer)
  scope.teardown(() => bulkDoor.close())

  const until = startedAt + phase.forMs - PHASE_MS
  const played = await injectAll({ stage, ledger, crowd, bulkDoor }, phase.faults, until, say)
  const settledMs = await settle(stage, ledger, crowd, presses, say)
  for (const mishap of stage.mishaps) ledger.violations.add('gateway', mishap, () => [])
  const { topology } = phase
  const account = ledger.reconcile()
  const { untold } = account.counts
  if (untold > 0 && (topology === 'single' || options.waitReplicas >= REDIS_REPLICAS)) {
    const what = `${untold} times an event was told to nobody, where no primary can have gone on alone`
    ledger.violations.add('silently lost', what, () => [])
  }
  if (topology === 'sentinel' && options.waitReplicas >= REDIS_REPLICAS && account.counts.announcedLost > 0) {
    const what = `${account.counts.announcedLost} acknowledged events were lost, though every replica had confirmed them`
    ledger.violations.add('lost despite its replicas', what, () => account.announcedLosses.slice(0, SHOWN_LOSSES))
  }
  return {
    ...account,
    played,
    topology,
    tallies: crowd.tallies,
    slowestAnswerMs,
    settledMs,
    epochs: ledger.positions.epochs,
  }
}

async function injectAll(world: World, faults: readonly Fault[], until: number, say: (text: string) => void) {
  const running = new Set<Promise<void>>()
  const played: Fault[] = []
  for (const fault of faults) {
    if (!fault.isRequired && performance.now() > until) continue
    played.push(fault)
    await wait(fault.calmMs)
    const name = [fault.kind, fault.way].filter(Boolean).join(' ')
    const startedAt = performance.now()
    say(`${name} ...`)
    const injection = INJECTORS[fault.kind](world, fault).then(
      () => say(`${name}: over after ${Math.round(performance.now() - startedAt)} ms`),
      error => {
        world.ledger.violations.add('gateway', `${name} could not be done: ${error}`, () => [String(error?.stack)])
      },
    )
    running.add(injection)
    void injection.finally(() => running.delete(injection))
    if (!fault.overlaps) await Promise.all(running)
  }
  await Promise.all(running)
  return played
}

/** Ends the publishing and waits until nothing is owed. It publishes nothing meanwhile: that could bring a forgotten event along. */
async function settle(stage: Stage, ledger: Ledger, crowd: Crowd, presses: Press[], say: (text: string) => void) {
  const startedAt = performance.now()
  for (const { adminUrl } of stage.gateways) {
    const isReady = async () => (await fetch(`${adminUrl}/readyz`, { signal: AbortSignal.timeout(1000) })).ok
    await waitFor(isReady, READY_MS, `${adminUrl} to be ready`).catch(error => stage.mishaps.push(String(error)))
  }
  crowd.settle()
  await Promise.all(presses.map(press => press.stop()))
  say('settling ...')
  // Each look blocks the process and so the readers: leave pauses between looks.
  const isSettled = () => wait(LOOK_MS).then(() => ledger.isSettled)
  await waitFor(isSettled, SETTLE_MS, 'all readers to have everything').catch(error => say(String(error)))
  const settledMs = performance.now() - startedAt
  // Wait a little longer: repeated events come late, if at all.
  await wait(1500)
  return settledMs
}
