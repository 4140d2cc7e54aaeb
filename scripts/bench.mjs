// npm run bench: installs and builds what is missing, the bench's own packages too, then runs the bench (`npm run bench -- --help`).
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const bench = fileURLToPath(new URL('../bench', import.meta.url))

if (!existsSync(`${root}/node_modules`)) run('npm', ['ci'], root)
if (!existsSync(`${root}/dist/src/server.js`)) run('npm', ['run', 'build'], root)
if (!existsSync(`${bench}/node_modules`)) run('npm', ['ci'], bench)
run(process.execPath, [`${bench}/run.mjs`, ...process.argv.slice(2)], root)

/**
 * @param {string} command
 * @param {string[]} args
 * @param {string} folder
 */
function run(command, args, folder) {
  const { status } = spawnSync(command, args, { cwd: folder, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
