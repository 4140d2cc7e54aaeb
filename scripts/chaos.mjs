// npm run chaos: sets a fresh clone up, then runs test/chaos. test/chaos/README.md says what the run proves.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { build, ensureRedis, installPackages, ROOT } from './set-up.mjs'

try {
  installPackages()
  build()
  if (ensureRedis() !== 'redis-server')
    throw new Error('the chaos run needs a local redis-server: it freezes and kills it')
  const run = join(ROOT, 'dist', 'test', 'chaos', 'run.js')
  process.exitCode = spawnSync(process.execPath, [run, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
