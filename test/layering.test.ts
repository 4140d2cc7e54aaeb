import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// Imports go one way. From dist/test, where this runs, to the sources.
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

interface Source {
  /** Such as `src/bus/redis.ts`. */
  readonly path: string
  /** Of files of this project by their path, of packages by their name. */
  readonly imports: readonly string[]
  /** Those that are still there when it runs: types are not. */
  readonly values: readonly string[]
}

const IMPORT = /^(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm

function sourcesOf(folder: string): Source[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => {
      const path = join(folder, name)
      const text = readFileSync(join(ROOT, path), 'utf8')
      const found = [...text.matchAll(IMPORT)].map(([, type, from, lazy]) => ({
        isType: type !== undefined,
        name: nameOf(from ?? lazy ?? '', path),
      }))
      const imports = found.map(({ name }) => name)
      return { path, imports, values: found.filter(({ isType }) => !isType).map(({ name }) => name) }
    })
}

function nameOf(target: string, importer: string): string {
  if (!target.startsWith('.')) return packageOf(target)
  return relative(ROOT, join(ROOT, dirname(importer), target)).replace(/\.js$/, '.ts')
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

const sources = [...sourcesOf('src'), ...sourcesOf('plugins')]
const importers = (name: string) => sources.filter(({ imports }) => imports.includes(name)).map(({ path }) => path)
const allImportsOf = (path: string, kind: 'imports' | 'values' = 'imports'): Set<string> => {
  const seen = new Set<string>()
  const visit = (each: string) => {
    for (const next of sources.find(source => source.path === each)?.[kind] ?? []) {
      if (seen.has(next)) continue
      seen.add(next)
      visit(next)
    }
  }
  visit(path)
  return seen
}

t.test('the sources were found, and every file of ours that one imports exists', async t => {
  t.ok(sources.length > 25, `${sources.length} files`)
  const known = new Set(sources.map(({ path }) => path))
  for (const { path, imports } of sources) {
    for (const each of imports.filter(name => /^(src|plugins)\//.test(name)))
      t.ok(known.has(each), `${path} -> ${each}`)
  }
})

t.test('Fastify is known to plugins, the composition root, the server and the commands only', async t => {
  const isAllowed = (path: string) => path.startsWith('plugins/') || ['src/app.ts', 'src/server.ts'].includes(path)
  // The error factory is a function without the framework, and the types of its plugins are gone when this runs.
  const isFastify = (name: string) => /^(@fastify\/|fastify)/.test(name) && name !== '@fastify/error'
  const others = sources.filter(({ path, values }) => !isAllowed(path) && values.some(isFastify))
  t.same(
    others.map(({ path }) => path),
    [],
  )
})

t.test('ioredis is imported where connections are made and nowhere else', async t => {
  const allowed = ['src/redis/client.ts', 'src/redis/locator.ts']
  t.same(
    importers('ioredis').filter(path => !allowed.includes(path)),
    [],
  )
})

t.test(
  'plugins never import each other, and nothing but the composition root and the server imports a plugin',
  async t => {
    for (const { path, imports } of sources) {
      const plugins = imports.filter(name => name.startsWith('plugins/'))
      if (!['src/app.ts', 'src/server.ts'].includes(path)) t.same(plugins, [], path)
    }
  },
)

// Left to right: a file may import what stands before it, and nothing that stands behind.
const CORE = [
  [
    'src/errors.ts',
    'src/cursor.ts',
    'src/clock.ts',
    'src/heap.ts',
    'src/gate.ts',
    'src/stream/backlog.ts',
    'src/stream/drain.ts',
  ],
  ['src/event.ts', 'src/room.ts'],
  ['src/draft.ts'],
  ['src/stream/frame.ts', 'src/stream/recovery.ts', 'src/http/json.ts', 'src/stream/frame-chain.ts'],
  ['src/stream/connection.ts'],
  ['src/stream/hub.ts'],
  ['src/gateway.ts'],
  ['src/app.ts'],
  ['src/server.ts'],
]

t.test('imports of the core go one way', async t => {
  for (const [n, level] of CORE.entries()) {
    const behind = CORE.slice(n + 1).flat()
    for (const path of level) {
      t.ok(
        sources.some(source => source.path === path),
        `${path} is there`,
      )
      const wrong = [...allImportsOf(path)].filter(
        name => behind.includes(name) || (level.includes(name) && name !== path),
      )
      t.same(wrong, [], path)
    }
  }
})

// The stream's side of the gateway.
const STREAMS = [
  'src/stream/hub.ts',
  'src/stream/connection.ts',
  'src/stream/recovery.ts',
  'src/gateway.ts',
  'src/stream/frame.ts',
  'src/stream/frame-chain.ts',
  'src/stream/resumer.ts',
  'src/stream/sink.ts',
]

t.test('the core knows no bus but its contract, and the bus knows nothing of streams', async t => {
  for (const path of [
    'src/gateway.ts',
    'src/stream/hub.ts',
    'src/stream/connection.ts',
    'src/stream/recovery.ts',
    'src/stream/frame.ts',
  ]) {
    const buses = [...allImportsOf(path)].filter(name => name.startsWith('src/bus/') && name !== 'src/bus/bus.ts')
    t.same(buses, [], path)
  }
  for (const { path } of sources.filter(({ path }) => path.startsWith('src/bus/') || path === 'src/emitter.ts')) {
    t.same(
      [...allImportsOf(path)].filter(name => STREAMS.includes(name)),
      [],
      path,
    )
  }
})

t.test('limits, configuration and Redis know neither streams nor the bus, and limits no configuration', async t => {
  for (const folder of ['src/limits/', 'src/config/', 'src/redis/']) {
    const known = sources.filter(({ path }) => path.startsWith(folder))
    t.ok(known.length > 0, folder)
    for (const { path } of known) {
      const wrong = [...allImportsOf(path, 'values')].filter(
        name =>
          STREAMS.includes(name) ||
          name.startsWith('src/bus/') ||
          (folder !== 'src/config/' && name.startsWith('src/config')),
      )
      t.same(wrong, [], path)
    }
  }
})

t.test('what must be pure is: no Node module with effects, no timer, no clock', async t => {
  for (const path of [
    'src/event.ts',
    'src/room.ts',
    'src/draft.ts',
    'src/cursor.ts',
    'src/stream/frame.ts',
    'src/stream/recovery.ts',
    'src/http/json.ts',
    'src/stream/frame-chain.ts',
    'src/stream/hub.ts',
    'src/stream/backlog.ts',
    'src/bus/keys.ts',
    'src/bus/records.ts',
  ]) {
    const text = readFileSync(join(ROOT, path), 'utf8')
    t.same(
      sources.find(source => source.path === path)!.imports.filter(name => name.startsWith('node:')),
      [],
      path,
    )
    t.notMatch(text, /\b(setTimeout|setInterval|setImmediate|Date\.now|performance\.now|Math\.random)\b/, path)
  }
})

t.test('the browser client imports nothing of Node and no package', async t => {
  for (const { path } of sources.filter(({ path }) => path.startsWith('src/client/'))) {
    t.same(
      [...allImportsOf(path, 'values')].filter(name => !name.startsWith('src/client/')),
      [],
      path,
    )
  }
})

t.test('no file of ours imports itself by way of others', async t => {
  for (const { path } of sources) t.notOk(allImportsOf(path).has(path), path)
})
