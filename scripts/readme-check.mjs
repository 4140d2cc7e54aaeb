// Runs the commands of the README and of the pages in docs/ in order, on a fresh clone of this tree: every ```sh block, with free
// ports in place of theirs. The README comes first, and makes the clone. The comments before a block may say:
//   background: TEXT   the block does not return: it runs until the next ## heading, and is up when TEXT is in its output
//   prints: TEXT       its output must hold TEXT
//   shows: TEXT        afterwards TEXT must come in the output of a background block
//   needs: COMMAND     without that command the block is skipped, with a line that says so
//   run by: FILE       not run here: FILE must hold these commands
//   file: PATH         a ```ts block, compiled as PATH with the rest of the copy
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ensureRedis, find, ROOT } from './set-up.mjs'

// The first background block installs and compiles everything.
const UP_MS = 300_000
const BLOCK_MS = 300_000
const SHOW_MS = 20_000
const STOP_MS = 15_000
const PORTS = ['3000', '3001', '3002', '3003', '6379']

// What a reader puts in for it is a URL; here it is a repository on disk.
const ORIGIN_PLACE = '<where you found this>'

const outside = mkdtempSync(join(tmpdir(), 'readme-'))
const origin = join(outside, 'origin')
const folder = join(outside, 'tidings')
const running = []
const counts = { ran: 0, skipped: 0 }
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void tidyUp().then(() => process.exit(1)))

try {
  await checkPages()
  console.log(`README and docs: ${counts.ran} blocks did what they say, ${counts.skipped} skipped`)
} catch (error) {
  console.error(`README and docs: ${error.message}`)
  process.exitCode = 1
} finally {
  await tidyUp()
}

async function checkPages() {
  copyTree()
  const pages = pageNames().map(name => ({ name, parts: readParts(readFileSync(join(origin, name), 'utf8')) }))
  for (const { language, text, file } of pages.flatMap(({ parts }) => parts)) {
    if (language === 'ts' && file) writeFileSync(join(origin, file), text)
  }
  commitTree()
  const ports = new Map()
  for (const port of PORTS) ports.set(port, await freePort())
  for (const { name, parts } of pages) {
    for (const part of parts) {
      if (part.heading) await stopAll()
      else if (part.language === 'sh') await checkBlock(part, ports, name)
    }
    await stopAll()
  }
  // `npm start` compiles only what the gateway runs on: what the pages show of TypeScript is compiled, and its types checked, by this.
  await checkBlock({ text: 'npm run build' }, ports, 'TypeScript of the pages')
}

function pageNames() {
  const docs = readdirSync(join(origin, 'docs')).filter(name => name.endsWith('.md'))
  return ['README.md', ...docs.sort().map(name => `docs/${name}`)]
}

async function checkBlock(block, ports, page) {
  const name = `${page}: ${block.text.trim().split('\n')[0]}`
  if (block['run by']) return checkElsewhere(block)
  if (block.needs === 'redis-server') ensureRedis()
  if (block.needs && !isUsable(block.needs)) {
    counts.skipped++
    console.log(`SKIPPED (no ${block.needs} here): ${name}`)
    return
  }
  const text = block.needs === 'docker' ? block.text : withPorts(block.text, ports)
  console.log(`$ ${name}`)
  const started = start(text, ports)
  if (block.background) {
    running.push(started)
    await until(
      () => started.output.includes(block.background),
      UP_MS,
      () => `'${name}' to say '${block.background}'`,
      started,
    )
  } else {
    await until(
      () => started.isOver,
      BLOCK_MS,
      () => `the end of '${name}'`,
      started,
    )
    if (started.code !== 0) throw new Error(`'${name}' ended with ${started.code}:\n${started.output}`)
    if (block.prints && !started.output.includes(block.prints)) {
      throw new Error(`'${name}' did not print '${block.prints}' but:\n${started.output}`)
    }
  }
  if (block.shows) {
    const isShown = () => running.some(({ output }) => output.includes(block.shows))
    await until(
      isShown,
      SHOW_MS,
      () => `'${block.shows}' after '${name}', in:\n${running.map(each => each.output).join('\n')}`,
    )
  }
  counts.ran++
}

function checkElsewhere({ text, 'run by': file }) {
  const script = readFileSync(join(origin, file), 'utf8')
  for (const command of text.trim().split('\n')) {
    if (!script.includes(command)) throw new Error(`'${command}' is not run by ${file}`)
  }
}

/** Headings, and code blocks with their comments. */
function readParts(markdown) {
  const parts = []
  let notes = {}
  let block
  for (const line of markdown.split('\n')) {
    const note = /^<!-- ([a-z ]+): (.*) -->$/.exec(line)
    if (block && line.startsWith('```')) {
      parts.push(block)
      block = undefined
      notes = {}
    } else if (block) block.text += `${line}\n`
    else if (line.startsWith('```')) block = { language: line.slice(3), text: '', ...notes }
    else if (line.startsWith('## ')) parts.push({ heading: line })
    else if (note) notes[note[1]] = note[2]
  }
  return parts
}

// Tracked files, and those that git would add: so the check works before a commit.
function copyTree() {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z']
  const { stdout, status } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1e8 })
  if (status !== 0) throw new Error('git ls-files failed: this needs a clone')
  for (const file of stdout.split('\0').filter(path => path !== '' && existsSync(join(ROOT, path)))) {
    cpSync(join(ROOT, file), join(origin, file), { recursive: true })
  }
}

function commitTree() {
  const who = ['-c', 'user.name=readme-check', '-c', 'user.email=readme-check@localhost', '-c', 'commit.gpgsign=false']
  for (const args of [
    ['init', '--quiet'],
    ['add', '--all', '--force'],
    [...who, 'commit', '--quiet', '-m', 'copy'],
  ]) {
    const { status, stderr } = spawnSync('git', args, { cwd: origin, encoding: 'utf8' })
    if (status !== 0) throw new Error(`git ${args.join(' ')} failed:\n${stderr}`)
  }
}

function withPorts(text, ports) {
  return text.replace(/\b(3000|3001|3002|3003|6379)\b/g, port => ports.get(port))
}

function start(text, ports) {
  const env = { ...process.env, PORT: ports.get('3000'), TIDINGS_URL: `http://127.0.0.1:${ports.get('3000')}` }
  for (const name of ['HOST', 'ADMIN_PORT', 'SSE_ADAPTER', 'REDIS_URL', 'REDIS_PREFIX', 'TIDINGS_KEY']) delete env[name]
  // A process group of its own, so that every process that a command starts ends with it.
  const child = spawn('bash', ['-euo', 'pipefail', '-c', text.replaceAll(ORIGIN_PLACE, origin)], {
    // The README makes the clone; until then its folder does not exist.
    cwd: existsSync(folder) ? folder : outside,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const started = { pid: child.pid, output: '', isOver: false, code: null }
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', chunk => {
      started.output += chunk
    })
  }
  child.once('close', code => Object.assign(started, { isOver: true, code }))
  return started
}

async function until(condition, ms, what, process) {
  const end = Date.now() + ms
  while (!condition()) {
    if (process?.isOver) throw new Error(`ended instead of ${what()}:\n${process.output}`)
    if (Date.now() > end) throw new Error(`waited ${ms / 1000} s in vain for ${what()}\n${process?.output ?? ''}`)
    await delay(50)
  }
}

async function stopAll() {
  for (const started of running.splice(0).reverse()) await stop(started)
}

async function stop(started) {
  const end = Date.now() + STOP_MS
  for (let signal = 'SIGTERM'; !started.isOver; signal = Date.now() > end ? 'SIGKILL' : signal) {
    try {
      if (signal === 'SIGKILL' || !started.wasTold) process.kill(-started.pid, signal)
    } catch {
      return // The whole group is gone.
    }
    started.wasTold = true
    await delay(50)
  }
}

async function tidyUp() {
  await stopAll()
  rmSync(outside, { recursive: true, force: true })
}

function isUsable(command) {
  if (!find(command)) return false
  return command !== 'docker' || spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 }).status === 0
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => resolve(`${port}`))
    })
  })
}
