// npm test: sets a fresh clone up, runs the tests, and ends with one line `N passed, N failed`.
//   npm test                                    every test but those of test/browser, which need a Chromium
//   npm test -- test/unit/cursor.test.ts        these files or folders
//   npm test -- --bail test/cluster             options go to tap
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, sep } from 'node:path'
import { createInterface } from 'node:readline'
import { build, ensureRedis, installPackages, ROOT } from './set-up.mjs'

const NOT_BY_DEFAULT = join('test', 'browser') + sep

async function main(args) {
  installPackages()
  build()
  ensureRedis()
  const files = chooseFiles(args.filter(arg => !arg.startsWith('-')))
  const { code, passed, failed } = await runTap([...args.filter(arg => arg.startsWith('-')), ...files])
  const isEmpty = passed + failed === 0
  if (isEmpty) console.error('no test ran')
  // A file that ends badly after its last assertion fails the run without a failed assertion: it counts as one.
  console.log(`${passed} passed, ${failed || (code === 0 ? 0 : 1)} failed`)
  return code || (isEmpty ? 1 : 0)
}

/** Finds tests by their sources, so that a compiled test whose source is gone does not run. */
function chooseFiles(wanted) {
  const sources = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .map(file => join('test', file))
    .filter(file => file.endsWith('.test.ts'))
    .sort()
  const asSource = path =>
    path
      .replace(/^\.\//, '')
      .replace(/^dist\//, '')
      .replace(/\.js$/, '.ts')
  const chosen =
    wanted.length === 0
      ? sources.filter(file => !file.startsWith(NOT_BY_DEFAULT))
      : wanted.flatMap(path => {
          const found = sources.filter(file => file.startsWith(asSource(path)))
          if (found.length === 0) throw new Error(`no test is at '${path}': give files or folders below test/`)
          return found
        })
  return chosen.map(file => join('dist', file.replace(/\.ts$/, '.js')))
}

function runTap(args) {
  const jobs = `--jobs=${Math.max(2, availableParallelism())}`
  const tap = join(ROOT, 'node_modules', '.bin', 'tap')
  const own = ['--disable-coverage', '--reporter=tap', '--no-color', '--timeout=180', jobs]
  const child = spawn(process.execPath, [tap, ...own, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
  const result = { code: 1, passed: 0, failed: 0 }
  const report = new Report()
  createInterface({ input: child.stdout }).on('line', line => {
    const counts = /^# \{ total: \d+(?:, pass: (\d+))?(?:, fail: (\d+))?/.exec(line)
    if (counts) Object.assign(result, { passed: Number(counts[1] ?? 0), failed: Number(counts[2] ?? 0) })
    else report.take(line)
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve({ ...result, code: code ?? 1 }))
  })
}

/** Prints a line for each test file, and the failures of a file that failed. */
class Report {
  #inside = []
  #showsMore = false

  take(line) {
    const end = /^(not ok|ok) \d+ - (.*?)(?: # (.*))?$/.exec(line)
    if (end) {
      const [, verdict, name, remark = ''] = end
      console.log(`${verdict === 'ok' ? 'ok    ' : 'FAILED'} ${name} ${remark.replace('time=', '')}`.trimEnd())
      this.#showsMore = verdict !== 'ok'
      if (this.#showsMore) for (const kept of failures(this.#inside)) console.log(kept)
      this.#inside = []
    } else if (/^#? /.test(line) && line.startsWith('    ')) {
      this.#inside.push(line)
    } else if (line.startsWith('# Subtest')) {
      this.#showsMore = false
      this.#inside = []
    } else if (this.#showsMore && /^ {2}(signal|exitCode|expired|error|message|stack)/.test(line)) {
      console.log(line)
    }
  }
}

/** The failed assertions with their details, and the names of the tests around them. */
function failures(lines) {
  const depth = line => line.length - line.trimStart().length
  const isHeading = line => line?.trimStart().startsWith('# Subtest:')
  let listDepth
  const kept = lines.filter(line => {
    // tap lists everything that was still open at a timeout, over hundreds of lines.
    if (/^\s*(requests|handles):$/.test(line)) listDepth = depth(line)
    else if (listDepth !== undefined && depth(line) <= listDepth) listDepth = undefined
    return listDepth === undefined && !/^\s*(ok \d|1\.\.\d|# time=|$)/.test(line)
  })
  return kept.filter((line, at) => !isHeading(line) || depth(kept[at + 1] ?? '') > depth(line))
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
