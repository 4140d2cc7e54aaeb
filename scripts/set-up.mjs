// Makes a fresh clone runnable. Plain Node without packages, because this installs them.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))

const SOURCES = ['src', 'plugins', 'test', 'examples', 'package.json', 'package-lock.json', 'tsconfig.json']

/**
 * Makes the tree runnable: packages installed, sources compiled. If it is runnable already, this takes a few milliseconds.
 * @throws Error  Node is too old, or a step fails; the message says what to do
 */
export function prepare() {
  checkNode()
  installPackages()
  if (isBuilt()) return
  console.error('dist/ is missing or older than the sources: building')
  build()
}

/** Installs the packages of package-lock.json. If node_modules has them already, this takes a few milliseconds. */
export function installPackages() {
  if (!isInstalled()) run('npm', ['ci', '--no-audit', '--no-fund'])
}

/** Compiles everything into dist/. */
export function build() {
  run('npm', ['run', '--silent', 'build'])
}

/**
 * The way to start a Redis: 'redis-server' (on PATH, installed if need be) or 'docker'.
 * @throws Error  there is neither; the message says how to get one
 */
export function ensureRedis() {
  if (find('redis-server')) return 'redis-server'
  const asRoot = process.getuid?.() === 0 ? [] : succeeds('sudo', ['-n', 'true']) ? ['sudo', '-n'] : undefined
  if (find('apt-get') && asRoot) {
    const [command, ...args] = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', '-y']
    run(command, [...args, 'update'])
    run(command, [...args, 'install', '--no-install-recommends', 'redis-server'])
    if (find('redis-server')) return 'redis-server'
  }
  if (succeeds('docker', ['info'])) return 'docker'
  throw new Error(
    'A Redis is needed and there is none: no redis-server on PATH, no right to install one, no Docker engine.\n' +
      '  Debian, Ubuntu: sudo apt-get update && sudo apt-get install redis-server\n' +
      '  macOS:          brew install redis\n' +
      '  Fedora:         sudo dnf install redis',
  )
}

/** Runs a command in the project's folder and shows its output. @throws Error  it fails */
export function run(command, args) {
  const { status, signal, error } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' })
  if (status !== 0)
    throw new Error(`'${[command, ...args].join(' ')}' failed: ${error ?? signal ?? `exit code ${status}`}`)
}

/** The full path of a command on PATH (or where Debian keeps daemons); undefined if there is none. */
export function find(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return folders.map(folder => join(folder, name)).find(isExecutable)
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function succeeds(command, args) {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 10_000 }).status === 0
}

function checkNode() {
  const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const wanted = engines.node.replace('>=', '')
  const [major, minor] = process.versions.node.split('.').map(Number)
  const [wantedMajor, wantedMinor] = wanted.split('.').map(Number)
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return
  throw new Error(
    `Node ${wanted} or later is needed, and this is ${process.versions.node} (${process.execPath}).\n` +
      '  Get a newer one from https://nodejs.org/, or with your version manager: nvm install 24',
  )
}

// Compares times: the last step of a whole build leaves a mark.
function isBuilt() {
  const builtAt = statSync(join(ROOT, 'dist', '.built'), { throwIfNoEntry: false })?.mtimeMs
  return builtAt !== undefined && SOURCES.every(path => newestIn(join(ROOT, path)) <= builtAt)
}

function newestIn(path) {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats?.isDirectory()) return stats?.mtimeMs ?? 0
  return Math.max(stats.mtimeMs, ...readdirSync(path).map(name => newestIn(join(path, name))))
}

// Compares contents: the files' times say nothing after a clone, a checkout or a restored cache.
function isInstalled() {
  const wanted = packagesIn('package-lock.json')
  const present = packagesIn(join('node_modules', '.package-lock.json'))
  if (!wanted || !present) return false
  return Object.entries(wanted).every(
    ([path, { version, optional, link }]) =>
      path === '' || link || present[path]?.version === version || (optional && !present[path]),
  )
}

function packagesIn(file) {
  try {
    return JSON.parse(readFileSync(join(ROOT, file), 'utf8')).packages
  } catch {
    return undefined
  }
}
