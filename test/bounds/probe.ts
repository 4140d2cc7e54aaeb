import { watchHolds } from '../helpers/hold.js'

// Runs inside the gateway's process. On each SIGWINCH it writes the longest time that the event loop was held since the last one.
let stop = watchHolds()

process.on('SIGWINCH', () => {
  process.stdout.write(`${JSON.stringify({ level: 30, msg: 'held', longestMs: stop() })}\n`)
  stop = watchHolds()
})
