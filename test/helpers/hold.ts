const STEP_MS = 5

/**
 * How long this process's event loop was held by its own work, from `watchHolds()` to the call of its result, in ms. A process that
 * had to wait for a core was not held up by itself: of wall time and CPU time the smaller one counts.
 */
export function watchHolds(): () => number {
  let longestMs = 0
  let [wallMs, cpuMs] = [performance.now(), cpuNow()]
  const look = () => {
    const [wall, cpu] = [performance.now(), cpuNow()]
    longestMs = Math.max(longestMs, Math.min(wall - wallMs, cpu - cpuMs))
    wallMs = wall
    cpuMs = cpu
  }
  const timer = setInterval(look, STEP_MS).unref()
  return () => {
    look()
    clearInterval(timer)
    return longestMs
  }
}

function cpuNow(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
