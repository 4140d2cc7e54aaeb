import type { LedgerCounts } from './ledger.js'
import type { PhaseResult } from './phase.js'
import { FAULTS } from './plan.js'
import type { Violation } from './violation.js'

const SHOWN = 10

/** The report of a run: its table and its first violations. */
export function showReport(results: readonly PhaseResult[]): string {
  const lines = ['', ...faultTable(results), '', ...countTable(results), '']
  for (const { topology, tallies, slowestAnswerMs, settledMs, epochs } of results) {
    const sorted = [...tallies].sort(([a], [b]) => (a < b ? -1 : 1))
    lines.push(`${topology}: ${sorted.map(([what, count]) => `${what} ${count}`).join(', ')}`)
    lines.push(
      `  epochs ${epochs}, slowest answer ${Math.round(slowestAnswerMs)} ms, settled after ${Math.round(settledMs)} ms`,
    )
  }
  const violations = results.flatMap(({ violations }) => violations.kept)
  const total = results.reduce((sum, { violations }) => sum + violations.total, 0)
  lines.push('', total === 0 ? 'no violation' : `${total} violations, of which the first of every kind, then others:`)
  for (const [index, violation] of firstOnes(violations).entries()) {
    lines.push(`${index + 1}. ${violation.kind}: ${violation.what}`, ...violation.context.map(line => `     ${line}`))
  }
  return lines.join('\n')
}

function faultTable(results: readonly PhaseResult[]): string[] {
  const faults = results.flatMap(({ played }) => played)
  const kinds = Object.entries(FAULTS).map(
    ([kind, what]) => [kind, what, faults.filter(fault => fault.kind === kind)] as const,
  )
  const rows = kinds.filter(([, , of]) => of.length > 0).map(([kind, what, of]) => [kind, `${of.length}`, what])
  return table([['fault', 'times', 'what happens'], ...rows])
}

function countTable(results: readonly PhaseResult[]): string[] {
  const names: [keyof LedgerCounts, string][] = [
    ['acknowledged', 'acknowledged'],
    ['refused', 'refused'],
    ['uncertain', 'uncertain for good'],
    ['republished', 'republished after Redis forgot'],
    ['repeated', 'repeated after a refused position'],
    ['delivered', 'delivered'],
    ['announcements', 'announcements of loss'],
    ['announcedLost', 'announced lost'],
    ['untold', 'untold: whoever knew ended'],
    ['silentlyLost', 'silently lost'],
    ['duplicated', 'duplicated'],
    ['reordered', 'reordered'],
  ]
  const rows = names.map(([key, name]) => {
    const values = results.map(({ counts }) => counts[key])
    return [name, ...values.map(show), show(values.reduce((sum, value) => sum + value, 0))]
  })
  const others = results.map(({ counts, violations }) => {
    return violations.total - counts.silentlyLost - counts.duplicated - counts.reordered
  })
  rows.push(['other violations', ...others.map(show), show(others.reduce((sum, value) => sum + value, 0))])
  return table([['count', ...results.map(({ topology }) => topology), 'all'], ...rows])
}

/** Orders violations so that one of every kind comes before the second of any. */
function firstOnes(violations: readonly Violation[]): Violation[] {
  const kinds = new Set(violations.map(({ kind }) => kind))
  const first = [...kinds].map(kind => violations.find(violation => violation.kind === kind)!) // each kind comes from a violation
  return [...first, ...violations.filter(violation => !first.includes(violation))].slice(0, SHOWN)
}

function show(value: number): string {
  return value.toLocaleString('en')
}

function table(rows: string[][]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0))) ?? []
  const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const [head = [], ...body] = rows
  return [line(head), `| ${widths.map(width => '-'.repeat(width)).join(' | ')} |`, ...body.map(line)]
}
