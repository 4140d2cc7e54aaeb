// @ts-check
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describeMachine, fileLimit } from './machine.mjs'
import { readOptions } from './options.mjs'
import { PEERS } from './peers/peers.mjs'
import { delay, machineCpuMicros } from './processes.mjs'
import { format } from './report/table.mjs'
import { reportOf, writeResults } from './report/write.mjs'
import { SCENARIOS } from './scenarios/scenarios.mjs'
import { OTHERS_CPU, problemOf } from './session.mjs'

/** A run is disturbed when other programs used more than this share of a core. It counts only if there are too few calm runs. */
const DISTURBED_PERCENT = 10
/** This many calm runs are enough for a median. With fewer, all runs count. */
const CALM_RUNS = 2
/** The defaults of --quick: no scenario with long waits, and of the other servers only the fastest. */
const QUICK_SCENARIOS = SCENARIOS.map(({ name }) => name).filter(name => !['curves', 'heartbeats'].includes(name))
const QUICK_PEERS = ['tidings', 'tidings (redis)', 'nchan']

const options = readOptions(process.argv.slice(2))
const scenarios = chosen('scenario', SCENARIOS, options.scenarios ?? (options.quick ? QUICK_SCENARIOS : undefined))
const peers = chosen('peer', PEERS, options.peers ?? (options.quick ? QUICK_PEERS : undefined))

if (options.list) {
  for (const { name, title } of SCENARIOS) say(`${name.padEnd(12)} ${title}`)
  for (const peer of PEERS) say(`${peer.name.padEnd(18)} ${peer.unavailable() ?? 'can be measured'}`)
  process.exit(0)
}

/** @type {import('./report/table.mjs').Results} */
const results = {
  date: new Date().toISOString().slice(0, 10),
  commands: [['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')],
  machine: describeMachine(),
  numbers: options.numbers,
  leftOut: [],
  figures: {},
}
const folder = mkdtempSync(join(tmpdir(), 'tidings-bench-'))
const profile = options.profile === undefined ? undefined : resolve(options.profile)
if (profile !== undefined) mkdirSync(profile, { recursive: true })
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.once(signal, () => process.exit(130))

say(
  Object.entries(results.machine)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n'),
)
warnAboutFiles()

const usable = peers.filter(peer => {
  const reason = peer.unavailable()
  if (reason !== undefined) leaveOut('every scenario', peer.name, `is left out: ${reason}`)
  return reason === undefined
})
for (const scenario of scenarios) {
  say(`\n${scenario.name}: ${scenario.title}`)
  const taking = usable.filter(peer => {
    const reason = scenario.leavesOut(peer)
    if (reason !== undefined) leaveOut(scenario.name, peer.name, reason)
    return reason === undefined
  })
  // Peers take turns, so that a disturbance of the machine meets all of them. A peer with too many disturbed runs gets more runs, up
  // to twice as many.
  const runs = scenario.isLong ? 1 : options.numbers.runs
  let again = taking
  for (let run = 1; run <= 2 * runs && again.length > 0; run++) {
    const disturbed = []
    for (const peer of again) {
      await calm(options.numbers.calm)
      if (await runOnce(scenario, peer, Math.min(CALM_RUNS, runs))) disturbed.push(peer)
    }
    if (run >= runs) again = disturbed
  }
}

if (options.write) writeResults(results, scenarios === SCENARIOS && peers === PEERS)
say(reportOf(results))
const problems = Object.values(results.figures).flatMap(byPeer =>
  Object.values(byPeer).filter(({ problem }) => problem),
)
process.exitCode = problems.length > 0 ? 1 : 0

/**
 * Runs a scenario once. Returns true while one of its figures has fewer than `enough` calm runs.
 * @param {import('./session.mjs').Scenario} scenario
 * @param {import('./peers/peers.mjs').Peer} peer
 * @param {number} enough
 */
async function runOnce(scenario, peer, enough) {
  /** @param {string} id */
  const known = id => results.figures[id]?.[peer.name]?.median
  try {
    const context = { peer, folder, n: options.numbers, known, ...(profile !== undefined && { profile }) }
    return (await scenario.run(context)).map(figure => keep(peer.name, figure, enough)).includes(true)
  } catch (error) {
    const problem = problemOf({ failure: /** @type {Error} */ (error).message }).problem ?? ''
    keep(peer.name, { id: `${scenario.name}.failed`, value: Number.NaN, problem }, enough)
    return false
  }
}

/**
 * Keeps one measured figure. Returns true while fewer than `enough` of its runs were calm.
 * @param {string} peer
 * @param {import('./session.mjs').Figure} figure
 * @param {number} enough
 */
function keep(peer, { id, value, problem, detail = {} }, enough) {
  results.figures[id] ??= {}
  results.figures[id][peer] ??= { runs: [], median: Number.NaN, detail, isDisturbed: false }
  const result = results.figures[id][peer]
  result.runs.push({ value, others: Number(detail[OTHERS_CPU] ?? 0) })
  const calm = result.runs.filter(({ others }) => others <= DISTURBED_PERCENT)
  result.isDisturbed = calm.length < enough
  result.median = median((result.isDisturbed ? result.runs : calm).map(run => run.value))
  if (result.median === value) result.detail = detail
  if (problem !== undefined) result.problem ??= problem
  const details = Object.entries(detail).map(
    ([name, what]) => `${name} ${typeof what === 'number' ? format(what) : what}`,
  )
  say(`  ${peer.padEnd(16)} ${id.padEnd(20)} ${format(value).padStart(10)}  ${details.join(', ')}`)
  if (problem !== undefined) say(`  ${peer.padEnd(16)} INVALID: ${problem}`)
  return result.isDisturbed
}

/** Waits until no other program keeps the machine busy, for `seconds` at most. @param {number} seconds */
async function calm(seconds) {
  const end = performance.now() + seconds * 1000
  for (let quiet = 0; quiet < 2 && performance.now() < end; ) {
    const before = machineCpuMicros()
    await delay(250)
    quiet = machineCpuMicros() - before < DISTURBED_PERCENT * 2500 ? quiet + 1 : 0
  }
}

/**
 * @template {{ name: string }} Named
 * @param {string} what
 * @param {Named[]} all
 * @param {string[] | undefined} names
 */
function chosen(what, all, names) {
  for (const name of names ?? []) {
    if (all.some(one => one.name === name)) continue
    process.stderr.write(`there is no ${what} '${name}'; there are: ${all.map(one => one.name).join(', ')}\n`)
    process.exit(2)
  }
  return names === undefined ? all : all.filter(one => names.includes(one.name))
}

/**
 * @param {string} scenario
 * @param {string} peer
 * @param {string} reason
 */
function leaveOut(scenario, peer, reason) {
  results.leftOut.push({ scenario, peer, reason })
  say(`  ${peer.padEnd(16)} left out of ${scenario}: ${reason}`)
}

function warnAboutFiles() {
  const { numbers } = options
  const most = Math.max(
    numbers['idle-connections'],
    numbers['heartbeat-connections'],
    numbers['storm-connections'],
    numbers['room-connections'],
  )
  const needed = Math.ceil(most * 1.03) + 200
  if (fileLimit() >= needed) return
  say(`One process may open ${fileLimit()} files, but ${most} connections need ${needed}.`)
  say(`Raise the limit (ulimit -Hn ${needed}, as root) or ask for less (--help names the numbers).`)
}

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  // Of two middle values take the lower one: it was measured, so its details can be shown.
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN
}

/** @param {string} line */
function say(line) {
  process.stdout.write(`${line}\n`)
}
