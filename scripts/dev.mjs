// npm run dev: compiles and restarts the gateway whenever a source changes. Ctrl-C ends both halves.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { compilerIn, prepare, ROOT } from './set-up.mjs'

try {
  prepare()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}

const halves = [
  start([compilerIn(ROOT), '-p', 'tsconfig.json', '--watch', '--preserveWatchOutput']),
  start(['--watch', '--watch-preserve-output', join('dist', 'src', 'server.js')]),
]
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => end(signal))

function start(args) {
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' })
  // One half without the other would only seem to work.
  child.once('exit', code => {
    process.exitCode ||= code ?? 0
    end('SIGTERM')
  })
  return child
}

function end(signal) {
  for (const child of halves) if (child.exitCode === null) child.kill(signal)
}
