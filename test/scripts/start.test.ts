import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// This runs in dist/test/scripts.
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

interface Entry {
  version?: string
  integrity?: string
  dev?: boolean
  optional?: boolean
  hasInstallScript?: boolean
}

const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'))
const manifest = read(join(ROOT, 'package.json'))
const locked: Record<string, Entry> = read(join(ROOT, 'package-lock.json')).packages
const setUp: { packagesToRun(): Record<string, Entry> } = await import(join(ROOT, 'scripts', 'set-up.mjs'))

t.test('npm start needs what the package depends on, and no tool for tests, checks or builds', async t => {
  const wanted = setUp.packagesToRun()
  const isWanted = (name: string) => `node_modules/${name}` in wanted
  t.same(
    Object.keys(manifest.dependencies).filter(name => !isWanted(name)),
    [],
  )
  t.same(Object.keys(manifest.devDependencies).filter(isWanted), [])
  t.ok('tap' in manifest.devDependencies && 'testcontainers' in manifest.devDependencies, 'where the test tools belong')
  t.same(
    Object.values(wanted).filter(({ dev }) => dev),
    [],
  )
})

t.test('no package that npm start installs has a script to run: it installs without', async t => {
  const scripted = Object.entries(setUp.packagesToRun()).filter(([, { hasInstallScript }]) => hasInstallScript)
  t.same(scripted, [])
})

t.test('what makes the log readable may be missing', async t => {
  t.equal(setUp.packagesToRun()['node_modules/pino-pretty']?.optional, true)
})

t.test('on a fresh clone npm start asks npm for the packages to run, and says what it could not have', async t => {
  const { status, asked, stderr } = start(copyTree(t.testdir()), 'echo "npm error code ENOTFOUND" >&2; exit 1')
  t.equal(status, 1)
  t.match(asked, /^ci --omit=dev [^\n]*\n$/, 'once, and nothing else')
  t.match(stderr, /^tidings: Node \S+ will do \(20\.20\.0 or later\)\n/)
  t.match(stderr, /\ntidings: installing the \d+ packages .* \(there is no node_modules\) \.\.\. failed\n/)
  t.match(stderr, /\nThe package registry cannot be reached \(ENOTFOUND\)/)
  t.match(stderr, /\n {4}npm error code ENOTFOUND\n/)
})

t.test('a tree that has the test tools keeps them', async t => {
  const tree = copyTree(t.testdir())
  install(tree, ([path]) => path === 'node_modules/tap')
  t.match(start(tree, 'exit 1').asked, /^ci --include=dev /)
})

t.test('the compiler that npm start fetches is the one of the lockfile, alone', async t => {
  const tree = copyTree(t.testdir())
  install(tree, ([, { dev }]) => !dev)
  const { asked } = start(tree, 'exit 1')
  t.match(asked, /^ci --ignore-scripts --prefix \S+\.compiler [^\n]*\n$/)
  const { packages } = read(join(tree, 'dist', '.compiler', 'package-lock.json'))
  const { version, integrity } = locked['node_modules/typescript']!
  t.same(Object.keys(packages), ['', 'node_modules/typescript'])
  t.match(packages['node_modules/typescript'], { version, integrity })
  t.match(integrity, /^sha512-/)
})

t.test('npm start compiles to the same program that is tested and published', async t => {
  const out = t.testdir()
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [tsc, '-p', join(ROOT, 'scripts', 'tsconfig.run.json'), '--outDir', out]
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  t.equal(status, 0, stdout)
  const compiled = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.js'))
  t.ok(compiled.includes(join('src', 'server.js')) && compiled.includes(join('plugins', 'stream.js')))
  const text = (folder: string, name: string) => readFileSync(join(folder, name), 'utf8')
  t.same(
    compiled.filter(name => text(out, name) !== text(join(ROOT, 'dist'), name)),
    [],
  )
})

function copyTree(tree: string): string {
  for (const name of ['package.json', 'package-lock.json', 'tsconfig.json', 'scripts']) {
    cpSync(join(ROOT, name), join(tree, name), { recursive: true })
  }
  return tree
}

// Writes node_modules as npm leaves it behind.
function install(tree: string, isPresent: (entry: [string, Entry]) => boolean): void {
  mkdirSync(join(tree, 'node_modules'))
  const packages = Object.fromEntries(Object.entries(locked).filter(isPresent))
  writeFileSync(join(tree, 'node_modules', '.package-lock.json'), JSON.stringify({ packages }))
}

/** Runs `npm start`'s script in a tree with a fake npm, which logs each call as a line and then runs this shell text. */
function start(tree: string, npm: string) {
  const bin = join(tree, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'npm'), `#!/bin/sh\necho "$*" >> "${join(tree, 'asked')}"\n${npm}\n`, { mode: 0o755 })
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` }
  const { status, stderr } = spawnSync(process.execPath, [join(tree, 'scripts', 'start.mjs')], {
    encoding: 'utf8',
    env,
  })
  return { status, stderr, asked: readFileSync(join(tree, 'asked'), 'utf8') }
}
