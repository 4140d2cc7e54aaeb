// Writes the table in docs/configuration.md from the program's own schema. With --check it only says whether they differ.
import { readFileSync, writeFileSync } from 'node:fs'
import { VARIABLES } from '../dist/src/config/check.js'
import { ConfigSchema } from '../dist/src/config/config.js'

const PAGE = new URL('../docs/configuration.md', import.meta.url)
const [START, END] = ['<!-- config:start -->', '<!-- config:end -->']

const text = readFileSync(PAGE, 'utf8')
const [head, tail] = [text.indexOf(START), text.indexOf(END)]
if (head < 0 || tail < head) throw new Error(`docs/configuration.md has no ${START} ... ${END}`)
const wanted = `${text.slice(0, head)}${START}\n${table()}\n${text.slice(tail)}`

if (!process.argv.includes('--check')) {
  writeFileSync(PAGE, wanted)
} else if (wanted !== text) {
  console.error("the table in docs/configuration.md differs from the program's schema: node scripts/config-table.mjs")
  process.exitCode = 1
}

function table() {
  const rows = VARIABLES.map(({ name, env, description, default: value }) => {
    const allowed = allowedBy(ConfigSchema.properties[name])
    return [`\`${env}\``, shown(value), `${description.replaceAll('|', '\\|')}${allowed === '' ? '' : `; ${allowed}`}`]
  })
  const all = [['variable', 'default', ''], ...rows]
  const widths = [0, 1, 2].map(column => Math.max(...all.map(row => row[column].length)))
  const line = cells => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`
  // As the formatter wants it: blank lines around, columns in line.
  return ['', line(all[0]), line(widths.map(width => '-'.repeat(width))), ...rows.map(line), ''].join('\n')
}

function shown(value) {
  const text = Array.isArray(value) ? value.join(',') : String(value ?? '')
  return text === '' ? '-' : `\`${text}\``
}

function allowedBy({ type, minimum, maximum, anyOf, minLength }) {
  if (type === 'integer') return `${minimum} to ${maximum}`
  if (anyOf !== undefined) return anyOf.map(each => `\`${each.const}\``).join(', ')
  return minLength > 1 ? `at least ${minLength} characters` : ''
}
