// Loaded into the gateway's process: on SIGWINCH it writes the longest time that the event loop was held since it started.
const STEP_MS = 10

let longestMs = 0
let wallMs = performance.now()
let cpuMs = cpuNow()

// A process that had to wait for a core was not held up by its own work: the smaller of both times counts.
setInterval(() => {
  const [wall, cpu] = [performance.now(), cpuNow()]
  longestMs = Math.max(longestMs, Math.min(wall - wallMs, cpu - cpuMs))
  wallMs = wall
  cpuMs = cpu
}, STEP_MS).unref()

process.on('SIGWINCH', () => {
  process.stdout.write(`${JSON.stringify({ level: 30, msg: 'held', longestMs })}\n`)
})

function cpuNow(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
