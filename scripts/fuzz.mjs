// npm run fuzz: builds, then sends 100,000 random and mutated requests to a gateway that it starts.
//   npm run fuzz
//   npm run fuzz -- --requests 5000 --seed 7      the requests of the run with this seed
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { build, installPackages, ROOT } from './set-up.mjs'

installPackages()
build()
const main = join(ROOT, 'dist', 'test', 'fuzz', 'main.js')
process.exitCode = spawnSync(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1
