// npm run fuzz: builds, then sends 100,000 random and mutated requests to a gateway of its own.
//   npm run fuzz
//   npm run fuzz -- --requests 5000 --seed 7      again what a run with this seed sent
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { build, installPackages, ROOT } from './set-up.mjs'

installPackages()
build()
const main = join(ROOT, 'dist', 'test', 'fuzz', 'main.js')
process.exitCode = spawnSync(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1
