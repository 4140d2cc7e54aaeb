// @ts-check
import { ROWS } from './rows.mjs'

/**
 * All results of one run of the bench: figure -> peer -> its runs.
 * @typedef {{
 *   runs: Array<{ value: number, others: number }>, median: number, isDisturbed: boolean, problem?: string,
 *   detail: Record<string, number | string>
 * }} Result
 * @typedef {{
 *   date: string, commands: string[], machine: Record<string, string | number>, numbers: Record<string, number>,
 *   leftOut: Array<{ scenario: string, peer: string, reason: string }>,
 *   figures: Record<string, Record<string, Result>>
 * }} Results
 */

const OWN = ['tidings', 'tidings (redis)']

/**
 * The table of all figures, in Markdown: goals and whether they are met, every peer, and ratios to nchan and socket.io.
 * A '~' marks a figure that at most one calm run supports: other programs on the machine disturbed the rest.
 * @param {Results} results
 */
export function tableOf(results) {
  const peers = peersOf(results)
  const others = peers.filter(peer => !OWN.includes(peer))
  const head = ['figure', 'unit', 'goal', 'met', ...OWN, ...others, 'x nchan', 'x socket.io']
  const lines = ROWS.filter(row => results.figures[row.id] !== undefined).map(row => {
    const own = row.goal?.peer ?? 'tidings'
    const isRedisRow = own === 'tidings (redis)'
    // A row about the redis adapter alone repeats no other column.
    const cells = [...OWN, ...others].map(peer => {
      const isRepeated = isRedisRow && row.id === 'saturation.rate' && peer !== own
      return isRepeated ? '' : cellOf(results.figures[row.id]?.[peer])
    })
    return [
      row.label,
      row.unit,
      row.goal?.text ?? '',
      verdict(results, row, own),
      ...cells,
      ratio(results, row.id, own, 'nchan'),
      ratio(results, row.id, own, 'socket.io'),
    ]
  })
  return [head, head.map(() => '---'), ...lines].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/**
 * The peers that were measured, the product's own first.
 * @param {Results} results
 */
export function peersOf({ figures }) {
  return [...new Set(Object.values(figures).flatMap(byPeer => Object.keys(byPeer)))]
}

/** A number as a person writes it. @param {number} value */
export function format(value) {
  if (!Number.isFinite(value)) return '-'
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  return value.toPrecision(3).replace(/\.?0+$/, match => (match.startsWith('.') ? '' : match))
}

/** @param {Result | undefined} result */
function cellOf(result) {
  if (result === undefined) return '-'
  if (result.problem !== undefined) return 'INVALID'
  return `${result.isDisturbed ? '~' : ''}${format(result.median)}`
}

/**
 * @param {Results} results
 * @param {import('./rows.mjs').Row} row
 * @param {string} own
 */
function verdict({ figures }, { id, goal }, own) {
  const result = figures[id]?.[own]
  if (goal === undefined || result === undefined) return ''
  if (result.problem !== undefined) return '**INVALID**'
  return goal.isMet(result.median, (other, peer) => figures[other]?.[peer]?.median ?? Number.NaN) ? 'yes' : '**no**'
}

/**
 * @param {Results} results
 * @param {string} id
 * @param {string} own
 * @param {string} peer
 */
function ratio({ figures }, id, own, peer) {
  const value = (figures[id]?.[own]?.median ?? Number.NaN) / (figures[id]?.[peer]?.median ?? Number.NaN)
  return Number.isFinite(value) ? value.toFixed(2) : ''
}
