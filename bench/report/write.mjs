// @ts-check
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { lineChart } from './chart.mjs'
import { peersOf, tableOf } from './table.mjs'

const README = fileURLToPath(new URL('../README.md', import.meta.url))
const RESULTS = fileURLToPath(new URL('../results/', import.meta.url))
const CHARTS = fileURLToPath(new URL('../charts/', import.meta.url))
const CHART_LINKS = `![Latency against load](charts/latency-against-load.svg)
![CPU per delivery against connections](charts/cpu-against-connections.svg)`
const BEGIN = '<!-- results: written by npm run bench -- --write -->'
const END = '<!-- end of results -->'

/**
 * Writes a run into the project: the figures as JSON, the table between its marks in the README, and two charts.
 * A run of some scenarios or peers leaves the other figures as they are; a whole run replaces everything.
 * @param {import('./table.mjs').Results} results
 * @param {boolean} isWhole
 */
export function writeResults(results, isWhole) {
  mkdirSync(RESULTS, { recursive: true })
  const path = `${RESULTS}latest.json`
  const merged = !isWhole && existsSync(path) ? merge(JSON.parse(readFileSync(path, 'utf8')), results) : results
  writeFileSync(path, `${JSON.stringify(merged, null, 2)}\n`)
  writeCharts(merged)
  const readme = readFileSync(README, 'utf8')
  const [before = '', rest = ''] = readme.split(BEGIN)
  const after = rest.split(END)[1] ?? ''
  writeFileSync(README, `${before}${BEGIN}\n${reportOf(merged)}\n${END}${after}`)
}

/** Machine, command and table, in Markdown. @param {import('./table.mjs').Results} results */
export function reportOf(results) {
  const machine = Object.entries(results.machine).map(([name, value]) => `${name}: ${value}`)
  const numbers = Object.entries(results.numbers).map(([name, value]) => `${name} ${value}`)
  const leftOut = results.leftOut.map(({ scenario, peer, reason }) => `- ${scenario}: ${peer} ${reason}`)
  const problems = Object.entries(results.figures).flatMap(([id, byPeer]) =>
    Object.entries(byPeer).flatMap(([peer, { problem }]) => (problem ? [`- INVALID ${id}, ${peer}: ${problem}`] : [])),
  )
  return [
    '',
    `Measured ${results.date} with ${results.commands.map(command => `\`${command}\``).join(', then ')}.`,
    '',
    `Machine: ${machine.join('; ')}.`,
    '',
    `Numbers: ${numbers.join('; ')}.`,
    '',
    tableOf(results),
    '',
    'Medians. `~`: in all runs but one at most, something else on the machine used more than 10 % of a core, which distorts figures.',
    '',
    ...(Object.keys(results.figures).some(id => id.startsWith('curve.')) ? [CHART_LINKS, ''] : []),
    ...(problems.length > 0 ? ['Not counted:', '', ...problems, ''] : []),
    ...(leftOut.length > 0 ? ['Left out:', '', ...leftOut, ''] : []),
  ].join('\n')
}

/** @param {import('./table.mjs').Results} results */
function writeCharts(results) {
  const latency = linesOf(results, 'curve.latency.')
  const cpu = linesOf(results, 'curve.cpu.')
  if (latency.length === 0 || cpu.length === 0) return
  mkdirSync(CHARTS, { recursive: true })
  const latencyChart = {
    title: 'Latency against load',
    x: 'deliveries per second',
    y: 'p99 publish to last socket, ms',
  }
  const cpuChart = { title: 'CPU per delivery against connections', x: 'connections', y: 'server CPU per delivery, us' }
  writeFileSync(`${CHARTS}latency-against-load.svg`, lineChart({ ...latencyChart, lines: latency }))
  writeFileSync(`${CHARTS}cpu-against-connections.svg`, lineChart({ ...cpuChart, lines: cpu }))
}

/**
 * @param {import('./table.mjs').Results} results
 * @param {string} prefix
 */
function linesOf(results, prefix) {
  const points = Object.entries(results.figures).filter(([id]) => id.startsWith(prefix))
  return peersOf(results).flatMap(peer => {
    const line = points.flatMap(([id, byPeer]) => {
      const result = byPeer[peer]
      const isUsable = result !== undefined && result.problem === undefined && result.median > 0
      return isUsable ? [/** @type {[number, number]} */ ([Number(id.slice(prefix.length)), result.median])] : []
    })
    return line.length > 0 ? [{ name: peer, points: line.sort(([a], [b]) => a - b) }] : []
  })
}

/**
 * @param {import('./table.mjs').Results} old
 * @param {import('./table.mjs').Results} fresh
 * @returns {import('./table.mjs').Results}
 */
function merge(old, fresh) {
  const figures = { ...old.figures }
  for (const [id, byPeer] of Object.entries(fresh.figures)) figures[id] = { ...figures[id], ...byPeer }
  const isFresh = new Set(fresh.leftOut.map(({ scenario, peer }) => `${scenario} ${peer}`))
  const leftOut = [...old.leftOut.filter(({ scenario, peer }) => !isFresh.has(`${scenario} ${peer}`)), ...fresh.leftOut]
  // Numbers and machine come from the last run.
  return { ...fresh, commands: [...old.commands, ...fresh.commands], figures, leftOut }
}
