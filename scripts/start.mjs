// npm start: everything a fresh clone needs, then the gateway, configured by environment variables.
// On an installed and built tree it starts at once. Plain Node, no dependencies: it is what installs them.
import { prepare } from './set-up.mjs'

try {
  prepare()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
// In this process, so that signals reach the gateway at once and its exit code is the command's.
const { main } = await import('../dist/src/server.js')
await main()
