import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'

const START = '<!-- values: made from values.yaml and values.schema.json by scripts/chart/check.mjs --write -->'
const END = '<!-- /values -->'

/** The chart's README with its table of values made anew from values.yaml and values.schema.json. */
export function withValuesTable(chart) {
  const readme = readFileSync(join(chart, 'README.md'), 'utf8')
  const before = readme.slice(0, readme.indexOf(START) + START.length)
  const after = readme.slice(readme.indexOf(END))
  return `${before}\n${valuesTable(chart)}\n${after}`
}

/** Values without a description in the schema, and values of the schema without a default in values.yaml. */
export function findUndescribed(chart) {
  const wrong = []
  for (const { path, schema, value } of walk(chart)) {
    if (!schema?.description) wrong.push(`${path} has no description in values.schema.json`)
    if (value === undefined && !/^global$|initialDelaySeconds$|resources\.claims$/.test(path)) {
      wrong.push(`${path} has no default in values.yaml`)
    }
  }
  return wrong
}

function valuesTable(chart) {
  const rows = ['| value | default | what it does |', '| --- | --- | --- |']
  for (const { path, schema, value } of walk(chart)) {
    const shown = value === undefined ? '' : `\`${JSON.stringify(value)}\``
    const allowed = schema.enum
      ? ` One of ${schema.enum.map(item => `\`${item === '' ? "''" : item}\``).join(', ')}.`
      : ''
    rows.push(`| \`${path}\` | ${shown} | ${(schema.description + allowed).replaceAll('|', '\\|')} |`)
  }
  return rows.join('\n')
}

/** Every leaf, with its schema and its value in values.yaml. */
function* walk(chart) {
  const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8'))
  yield* walkObject(schema, parse(readFileSync(join(chart, 'values.yaml'), 'utf8')), '')
}

function* walkObject(schema, values, prefix) {
  const names = new Set([...Object.keys(schema.properties ?? {}), ...Object.keys(values ?? {})])
  for (const name of names) {
    const path = prefix === '' ? name : `${prefix}.${name}`
    const child = schema.properties?.[name]
    if (child?.properties) yield* walkObject(child, values?.[name], path)
    else yield { path, schema: child, value: values?.[name] }
  }
}
