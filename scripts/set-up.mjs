// What a fresh clone needs before anything of it can run. Plain Node, no dependencies: it is what installs them.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))

const DIST = join(ROOT, 'dist')
// A compiler for a tree without test tools. It is no package of the gateway's, so it stays out of node_modules.
const COMPILER = join(DIST, '.compiler')

const MANIFESTS = ['package.json', 'package-lock.json', 'tsconfig.json']
const RUN_CONFIG = join('scripts', 'tsconfig.run.json')
const RUN_SOURCES = ['src', 'plugins', RUN_CONFIG, ...MANIFESTS]
const SOURCES = ['src', 'plugins', 'test', 'examples', ...MANIFESTS]
// The last step of each build leaves its mark.
const BUILT = '.built'
const BUILT_TO_RUN = '.built-to-run'

const NO_NETWORK =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b/
const NO_WRITING = /\b(EROFS|EACCES|EPERM|ENOSPC)\b/

/**
 * Makes the tree fit for `npm start`: the packages that the gateway runs on, and its own sources compiled, unchecked. Takes
 * nothing away. Does nothing, in a few milliseconds, when it is that already.
 * @throws Error  when Node is too old, or a step fails; says what to do
 */
export function prepareToRun() {
  checkNode()
  say(`Node ${process.versions.node} will do (${wantedNode()} or later)`)
  if (!isInstalled(packagesToRun())) {
    // A tree with test tools keeps them: `npm ci --omit=dev` would take them away.
    if (hasTestTools()) installPackages()
    else installPackagesToRun()
  }
  if (!isBuiltSince([BUILT, BUILT_TO_RUN], RUN_SOURCES)) buildToRun()
}

/**
 * Makes the whole tree fit for everything: all packages, all sources compiled. Does nothing, in a few milliseconds, when it is
 * that already.
 * @throws Error  when Node is too old, or a step fails; says what to do
 */
export function prepare() {
  installPackages()
  if (!isBuiltSince([BUILT], SOURCES)) build()
}

/** Makes node_modules what package-lock.json says. Does nothing, in a few milliseconds, when it is that already. */
export function installPackages() {
  checkNode()
  const wanted = allPackages()
  if (isInstalled(wanted)) return
  const why = isInstalled(packagesToRun()) ? 'the test tools are missing' : whyInstall()
  // NODE_ENV=production would leave out half of them.
  step(`installing ${countOf(wanted)} packages, those for tests and checks included (${why})`, () =>
    npm(['ci', '--include=dev']),
  )
}

/** Compiles everything into dist/, types checked. */
export function build() {
  step('building: src/, plugins/, test/ and examples/ into dist/, types checked', () => {
    run(process.execPath, [compilerIn(ROOT), '-p', 'tsconfig.json'])
    run(process.execPath, [join('scripts', 'assets.mjs'), BUILT])
    rmSync(COMPILER, { recursive: true, force: true })
  })
}

/** Compiles what the gateway runs on into dist/. `npm run check` is what checks types. */
export function buildToRun() {
  const compiler = findCompiler()
  step(`building: src/ and plugins/ into dist/ (${whyBuild()})`, () => {
    mkdirSync(DIST, { recursive: true })
    // The whole build compiles only files that changed since its own last run. Without this it would leave what this one wrote.
    for (const name of ['.tsbuildinfo', BUILT]) rmSync(join(DIST, name), { force: true })
    run(process.execPath, [compiler, '-p', RUN_CONFIG])
    run(process.execPath, [join('scripts', 'assets.mjs'), BUILT_TO_RUN])
  })
}

/** What `npm start` needs in node_modules: entries of package-lock.json by their path. */
export function packagesToRun() {
  const needed = Object.entries(allPackages()).filter(([, { dev }]) => !dev)
  // Only a test tool cannot do without those that are `devOptional`.
  return Object.fromEntries(
    needed.map(([path, entry]) => [path, { ...entry, optional: entry.optional || entry.devOptional }]),
  )
}

/**
 * Resolves with how a Redis can be had: 'redis-server' (on PATH, installed if need be) or 'docker'.
 * @throws Error  when there is no way, saying how to get one
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

/** Runs a command in the project's folder, its output shown. @throws Error  when it fails */
export function run(command, args) {
  const { status, signal, error } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' })
  if (status !== 0)
    throw new Error(`'${[command, ...args].join(' ')}' failed: ${error ?? signal ?? `exit code ${status}`}`)
}

/** The full path of a command on PATH (or in the places where Debian keeps daemons), undefined when there is none. */
export function find(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return folders.map(folder => join(folder, name)).find(isExecutable)
}

/** Says on stderr, where no log line goes, what is done next. */
export function say(text) {
  process.stderr.write(`tidings: ${text}\n`)
}

// One line: what and why before, how long after.
function step(what, work) {
  process.stderr.write(`tidings: ${what} ... `)
  const start = performance.now()
  try {
    checkWritable()
    work()
  } catch (error) {
    process.stderr.write('failed\n')
    throw error
  }
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1)} s\n`)
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

/** @throws Error  when this Node is older than package.json allows */
function checkNode() {
  const wanted = wantedNode()
  const [major, minor] = process.versions.node.split('.').map(Number)
  const [wantedMajor, wantedMinor] = wanted.split('.').map(Number)
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return
  throw new Error(
    `Node ${wanted} or later is needed, and this is ${process.versions.node} (${process.execPath}).\n` +
      '  Get a newer one from https://nodejs.org/, or with your version manager: nvm install 24',
  )
}

/** The oldest version of Node that will do. */
function wantedNode() {
  return JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).engines.node.replace('>=', '')
}

function checkWritable() {
  try {
    accessSync(ROOT, constants.W_OK)
  } catch (cause) {
    throw notWritable(cause.code, cause)
  }
}

function notWritable(code, cause) {
  return new Error(
    `${ROOT} cannot be written (${code}), and packages and compiled files must go there once.\n` +
      '  Run this where you may write, or have it done by someone who may; afterwards it also runs read-only.',
    { cause },
  )
}

function installPackagesToRun() {
  const count = countOf(packagesToRun())
  // None of these packages has an install script.
  step(`installing the ${count} packages that the gateway runs on, without test tools (${whyInstall()})`, () =>
    npm(['ci', '--omit=dev', '--ignore-scripts']),
  )
}

/** The compiler's path: the one in node_modules, or one that is fetched alone, by the main lockfile's version and checksum. */
function findCompiler() {
  const { version, integrity } = allPackages()['node_modules/typescript']
  const present = [ROOT, COMPILER].find(folder => versionIn(folder) === version)
  if (present) return compilerIn(present)
  step(`fetching TypeScript ${version}, the compiler (there is none here)`, () => {
    mkdirSync(COMPILER, { recursive: true })
    const dependencies = { typescript: version }
    // By its address: otherwise npm reads the list of all 3,000 versions first. npm puts in the registry that it is configured for.
    const resolved = `https://registry.npmjs.org/typescript/-/typescript-${version}.tgz`
    const packages = { '': { dependencies }, 'node_modules/typescript': { version, resolved, integrity } }
    const files = {
      'package.json': { private: true, dependencies },
      'package-lock.json': { lockfileVersion: 3, requires: true, packages },
    }
    for (const [name, content] of Object.entries(files)) writeFileSync(join(COMPILER, name), JSON.stringify(content))
    npm(['ci', '--ignore-scripts', '--prefix', COMPILER])
  })
  return compilerIn(COMPILER)
}

/** The compiler that is installed in a folder. */
export function compilerIn(folder) {
  return join(folder, 'node_modules', 'typescript', 'bin', 'tsc')
}

function versionIn(folder) {
  return readJson(join(folder, 'node_modules', 'typescript', 'package.json'))?.version
}

/** @throws Error  with the cause in words, and what npm said */
function npm(args) {
  // npm's own waits between two tries, 10 s and 60 s, would look like a standstill.
  const own = [
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--fetch-retry-mintimeout=1000',
    '--fetch-retry-maxtimeout=4000',
  ]
  const options = { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] }
  const { status, signal, error, stderr } = spawnSync('npm', [...args, ...own], options)
  if (status === 0) return
  const said = `  'npm ${args.join(' ')}' said:\n${shorten(stderr || `${error ?? signal ?? `exit code ${status}`}`)}`
  if (error?.code === 'ENOENT') throw new Error("There is no 'npm' on PATH. It comes with Node: https://nodejs.org/")
  const [code] = NO_WRITING.exec(stderr ?? '') ?? []
  if (code) throw new Error(`${notWritable(code).message}\n${said}`)
  const [network] = NO_NETWORK.exec(stderr ?? '') ?? []
  if (network) {
    throw new Error(
      `The package registry cannot be reached (${network}), and packages must be downloaded once.\n` +
        "  Try again with a network; a proxy or another registry goes into npm's configuration: npm config set proxy, registry\n" +
        said,
    )
  }
  throw new Error(`Packages could not be installed.\n${said}`)
}

// The first lines have the code and the reason; further down come stack frames.
function shorten(text) {
  const lines = text.split('\n').filter(line => line.trim() !== '')
  return lines
    .slice(0, 6)
    .map(line => `    ${line}`)
    .join('\n')
}

function whyInstall() {
  return statSync(join(ROOT, 'node_modules'), { throwIfNoEntry: false })
    ? 'node_modules is not what package-lock.json says'
    : 'there is no node_modules'
}

function whyBuild() {
  const isBuilt = [BUILT, BUILT_TO_RUN].some(mark => statSync(join(DIST, mark), { throwIfNoEntry: false }))
  return isBuilt ? 'sources have changed since the last time' : 'nothing is built yet'
}

// By time.
function isBuiltSince(marks, sources) {
  const times = marks.map(mark => statSync(join(DIST, mark), { throwIfNoEntry: false })?.mtimeMs ?? 0)
  const builtAt = Math.max(...times)
  return builtAt > 0 && sources.every(path => newestIn(join(ROOT, path)) <= builtAt)
}

function newestIn(path) {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats?.isDirectory()) return stats?.mtimeMs ?? 0
  return Math.max(stats.mtimeMs, ...readdirSync(path).map(name => newestIn(join(path, name))))
}

// By content: the files' times say nothing after a clone, a checkout or a restored cache.
function isInstalled(wanted) {
  const present = presentPackages()
  return Object.entries(wanted).every(
    ([path, { version, optional, link }]) => link || present[path]?.version === version || (optional && !present[path]),
  )
}

function hasTestTools() {
  return Object.values(presentPackages()).some(({ dev }) => dev)
}

function presentPackages() {
  return readJson(join(ROOT, 'node_modules', '.package-lock.json'))?.packages ?? {}
}

function allPackages() {
  const { '': _, ...packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages
  return packages
}

// Those of other platforms are in the lockfile too.
function countOf(packages) {
  const isMeant = (list, own) => !list || list.includes(own)
  return Object.values(packages).filter(({ os, cpu }) => isMeant(os, process.platform) && isMeant(cpu, process.arch))
    .length
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}
