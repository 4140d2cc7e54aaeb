// npm run build: everything, types checked and declared.   npm run build -- --to-run: only what the gateway runs on, as for `npm start`.
import { build, buildToRun, installPackages } from './set-up.mjs'

try {
  if (process.argv.includes('--to-run')) buildToRun()
  else {
    installPackages()
    build()
  }
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
