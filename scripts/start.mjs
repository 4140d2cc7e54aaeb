// npm start: sets a fresh clone up, then runs the gateway, configured by environment variables. An installed and built tree starts at
// once. Plain Node without packages, because this installs them.
import { prepare } from './set-up.mjs'

try {
  prepare()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
// In this process, so that signals reach the gateway at once and its exit code becomes the command's.
const { main } = await import('../dist/src/server.js')
await main()
