// Makes what docs/errors.md says of each error from src/errors.ts and src/failures.ts and their comments. Without --write it only says whether they differ.
import { readFileSync, writeFileSync } from 'node:fs'
import { STATUS_CODES } from 'node:http'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const SOURCES = ['src/errors.ts', 'src/failures.ts']
const PAGE = new URL('../docs/errors.md', import.meta.url)

const RETRY = ['never', 'after Retry-After', 'same key']
const ANSWERED = ['stream', 'publish', 'access', 'other']
const MET = [...ANSWERED, 'call', 'start']
/** The statuses that plugins/stream.ts answers with a stream that ends. */
const IN_THE_STREAM = [429, 503]

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const page = readFileSync(PAGE, 'utf8')
  const wanted = withErrors(page, readErrors(SOURCES.map(read)))
  if (process.argv.includes('--write')) {
    writeFileSync(PAGE, wanted)
  } else if (wanted !== page) {
    console.error('docs/errors.md differs from src/errors.ts and src/failures.ts: node scripts/errors-page.mjs --write')
    process.exitCode = 1
  }
}

/**
 * Every error of sources like src/errors.ts: `{ name, code, status, message, cause, mend, retry, met, also }`.
 * @throws Error  lists everything that an error's comment lacks
 */
export function readErrors(sources) {
  const files = sources.map(source => ts.createSourceFile('errors.ts', source, ts.ScriptTarget.Latest, true))
  const problems = []
  const errors = files
    .flatMap(({ statements }) => statements.flatMap(declared))
    .map(each => ({ ...each, ...readComment(each, problems) }))
  for (const each of errors) {
    const first = errors.find(other => other.code === each.code)
    for (const fact of ['status', 'retry']) {
      if (each[fact] !== first[fact]) problems.push(`${each.name} and ${first.name} share a code but not their ${fact}`)
    }
  }
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return errors
}

/** The page with everything between its markers made anew. */
export function withErrors(page, errors) {
  const codes = [...new Set(errors.map(({ code }) => code))]
    .map(code => errors.filter(each => each.code === code))
    .sort(([a], [b]) => a.status - b.status)
  const isAnswered = group => group.some(({ met }) => met.some(where => ANSWERED.includes(where)))
  const isMetAt = where => group => metOf(group).includes(where)
  const parts = {
    codes: table(
      ['code', 'status', 'met at', 'retry'],
      codes.filter(isAnswered).map(group => [linkTo(group), statusOf(group), shown(metOf(group)), group[0].retry]),
    ),
    stream: table(
      ['code', 'in place of status'],
      codes
        .filter(group => isMetAt('stream')(group) && IN_THE_STREAM.includes(group[0].status))
        .map(group => [linkTo(group), `${group[0].status}`]),
    ),
    calls: table(
      ['code', 'statusCode', 'retry'],
      codes.filter(isMetAt('call')).map(group => [linkTo(group), `${group[0].status}`, group[0].retry]),
    ),
    start: table(
      ['code', 'retry'],
      codes.filter(isMetAt('start')).map(group => [linkTo(group), group[0].retry]),
    ),
    each: codes.map(section).join(''),
  }
  return Object.entries(parts).reduce((text, [name, part]) => between(text, name, part), page)
}

// `export const X = createError<..>(code, message, status)`, and the members of AnsweredCodes.
function declared(statement) {
  if (ts.isInterfaceDeclaration(statement) && statement.name.text === 'AnsweredCodes') {
    return statement.members.map(node => {
      const code = node.name.text
      return { node, name: code, code, message: null, status: Number(node.type.literal.text) }
    })
  }
  if (!ts.isVariableStatement(statement)) return []
  return statement.declarationList.declarations
    .filter(({ initializer }) => initializer?.expression?.text === 'createError')
    .map(({ name, initializer }) => {
      const [code, message, status] = initializer.arguments.map(({ text }) => text)
      return { node: statement, name: name.text, code, message, status: Number(status) }
    })
}

function readComment({ node, name }, problems) {
  const comment = ts.getJSDocCommentsAndTags(node).find(ts.isJSDoc)
  const texts = tag =>
    (comment?.tags ?? [])
      .filter(({ tagName }) => tagName.text === tag)
      .map(found => plain(ts.getTextOfJSDocComment(found.comment)))
  const one = (tag, why) => {
    const found = texts(tag)
    if (found.length !== 1 || found[0] === '')
      problems.push(`${name} needs one line "@${tag} ..." in its comment: ${why}`)
    return found[0] ?? ''
  }
  const cause = plain(ts.getTextOfJSDocComment(comment?.comment))
  if (cause === '') problems.push(`${name} needs a comment that says its cause`)
  const mend = one('mend', 'what its reader changes')
  const said = one('retry', `${RETRY.join(', or ')}; in brackets where it is met: ${MET.join(', ')}`)
  const [, retry = said, places = ''] = /^(.+?) \((.*)\)$/.exec(said) ?? []
  if (retry !== '' && !RETRY.includes(retry))
    problems.push(`${name} has "@retry ${retry}": it is ${RETRY.join(', or ')}`)
  const met = places.split(/,\s*/).filter(Boolean)
  if (said !== '' && met.length === 0) problems.push(`${name} has "@retry ${said}" without places: (${MET.join(', ')})`)
  for (const where of met.filter(each => !MET.includes(each))) {
    problems.push(`${name} is met at "${where}": it is one of ${MET.join(', ')}`)
  }
  const also = texts('also').map(text => {
    const [, status, when] = /^(\d\d\d|[45]xx) (.+)$/.exec(text) ?? []
    if (status === undefined)
      problems.push(`${name} has "@also ${text}": it is a status and when, such as "414 a name is too long"`)
    return { status, when }
  })
  return { cause, mend, retry, met, also }
}

function read(path) {
  return readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
}

function plain(text = '') {
  return text.trim().replaceAll(/\s+/g, ' ')
}

function section(group) {
  const [{ code, status, retry }] = group
  const isThrownOnly = metOf(group).every(where => !ANSWERED.includes(where))
  const facts = [
    isThrownOnly ? `Thrown, with \`statusCode\` ${status}.` : `Status ${status} (${STATUS_CODES[status]}).`,
    ...group.flatMap(({ also }) => also.map(each => `${each.status} when ${each.when}.`)),
    `Met at: ${shown(metOf(group))}.`,
    `Retry: **${retry}**.`,
  ]
  const lines = group.map(({ cause, mend, message }) => {
    const says = message !== null && /[a-z]{2}/.test(message) ? [`  - Message: \`${message}\``] : []
    return [`- ${cause}`, `  - Mend: ${mend}`, ...says].join('\n')
  })
  return `\n### ${code}\n\n${facts.join(' ')}\n\n${lines.join('\n')}\n`
}

function metOf(group) {
  return MET.filter(where => group.some(({ met }) => met.includes(where)))
}

function shown(met) {
  return met.join(', ')
}

function statusOf(group) {
  return [group[0].status, ...group.flatMap(({ also }) => also.map(({ status }) => status))].join(', ')
}

function linkTo([{ code }]) {
  return `[\`${code}\`](#${code.toLowerCase()})`
}

// As the formatter wants it: columns in line.
function table(head, rows) {
  const all = [head, ...rows]
  const widths = head.map((_, i) => Math.max(...all.map(row => row[i].length)))
  const line = cells => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`
  return ['', line(head), line(widths.map(width => '-'.repeat(width))), ...rows.map(line), ''].join('\n')
}

function between(text, name, part) {
  const [start, end] = [`<!-- ${name}:start -->`, `<!-- ${name}:end -->`]
  const [head, tail] = [text.indexOf(start), text.indexOf(end)]
  if (head < 0 || tail < head) throw new Error(`docs/errors.md has no ${start} ... ${end}`)
  return `${text.slice(0, head)}${start}\n${part}\n${text.slice(tail)}`
}
