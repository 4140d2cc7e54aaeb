// npm start: what a fresh clone needs to run, then the gateway, configured by environment variables.
// On an installed and built tree it starts at once. Plain Node, no dependencies: it is what installs them.
import { prepareToRun, say } from './set-up.mjs'

try {
  prepareToRun()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
say('starting the gateway')
// In this process, so that signals reach the gateway at once and its exit code is the command's.
const { main } = await import('../dist/src/server.js')
await main()
