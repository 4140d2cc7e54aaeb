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

// The house from the ground up: a folder, or a file that stands alone, may import what stands in an earlier line, and nothing of
// its own line or a later one. So no family imports another. What two of them share moves down.
const FLOORS = [
  ['cursor', 'errors', 'failures', 'clock', 'heap', 'gate', 'log', 'version', 'redact', 'turn'],
  ['event', 'room'],
  ['draft'],
  ['redis', 'publisher'],
  ['http', 'bus', 'replicas'],
  ['auth', 'limits'],
  ['config', 'stream'],
  ['gateway'],
  ['access', 'emitter'],
  ['adapters'],
  ['plugins'],
  ['app'],
  ['terminal'],
  ['server'],
  ['cli'],
]
// A closed world: it runs in browsers.
const APART = 'client'

/** Its place in the house: `src/bus/redis.ts` stands in `bus`, `src/gateway.ts` in `gateway`, `plugins/auth.ts` in `plugins`. */
const placeOf = (path: string) => (path.startsWith('plugins/') ? 'plugins' : path.split('/')[1]!.replace(/\.ts$/, ''))
const floorOf = (place: string) => FLOORS.findIndex(floor => floor.includes(place))
const isOurs = (name: string) => /^(src|plugins)\//.test(name)

t.test('imports go down the house', async t => {
  const places = new Set(sources.map(({ path }) => placeOf(path)))
  t.same(
    [...places].filter(place => place !== APART && floorOf(place) < 0),
    [],
    'every place has a floor',
  )
  t.same(
    FLOORS.flat().filter(place => !places.has(place)),
    [],
    'no floor has a place that is not there',
  )
  for (const { path, imports } of sources.filter(({ path }) => placeOf(path) !== APART)) {
    const [place, ours] = [placeOf(path), imports.filter(isOurs)]
    const wrong = ours.filter(name => {
      const other = placeOf(name)
      // The commands read streams with the client's parser.
      if (other === APART) return place !== 'cli'
      return other !== place && floorOf(other) >= floorOf(place)
    })
    t.same(wrong, [], path)
  }
})

t.test('only adapters.ts knows which adapters there are', async t => {
  for (const { path, imports } of sources.filter(({ path }) => path !== 'src/adapters.ts')) {
    t.same(
      imports.filter(name => /^src\/\w+\/(memory|redis)\.ts$/.test(name)),
      [],
      path,
    )
  }
})

t.test('no file is longer than 300 lines, and few are longer than 200', async t => {
  const lengths = sources
    .filter(({ path }) => path.startsWith('src/'))
    .map(({ path }) => ({ path, lines: readFileSync(join(ROOT, path), 'utf8').split('\n').length - 1 }))
  t.same(
    lengths.filter(({ lines }) => lines > 300),
    [],
  )
  const long = lengths.filter(({ lines }) => lines > 200)
  t.ok(long.length <= lengths.length / 8, long.map(({ path, lines }) => `${path} ${lines}`).join(', '))
})

const isOfStreams = (name: string) => name.startsWith('src/stream/') || name === 'src/gateway.ts'

t.test('the core knows no bus but its contract, and the bus knows nothing of streams', async t => {
  for (const { path } of sources.filter(({ path }) => isOfStreams(path))) {
    const buses = [...allImportsOf(path)].filter(name => name.startsWith('src/bus/') && name !== 'src/bus/bus.ts')
    t.same(buses, [], path)
  }
  for (const { path } of sources.filter(({ path }) => path.startsWith('src/bus/') || path === 'src/emitter.ts')) {
    t.same([...allImportsOf(path)].filter(isOfStreams), [], path)
  }
})

t.test('limits, configuration and Redis know neither streams nor the bus, and limits no configuration', async t => {
  for (const folder of ['src/limits/', 'src/config/', 'src/redis/']) {
    const known = sources.filter(({ path }) => path.startsWith(folder))
    t.ok(known.length > 0, folder)
    for (const { path } of known) {
      const wrong = [...allImportsOf(path, 'values')].filter(
        name =>
          isOfStreams(name) ||
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

t.test(
  'the browser client imports nothing of Node and no package, and of the house only the types of control events',
  async t => {
    for (const { path, imports, values } of sources.filter(({ path }) => path.startsWith('src/client/'))) {
      t.same(
        values.filter(name => !name.startsWith('src/client/')),
        [],
        path,
      )
      t.same(
        imports.filter(name => !name.startsWith('src/client/') && name !== 'src/stream/control.ts'),
        [],
        path,
      )
    }
  },
)

t.test('no file of ours imports itself by way of others', async t => {
  for (const { path } of sources) t.notOk(allImportsOf(path).has(path), path)
})
