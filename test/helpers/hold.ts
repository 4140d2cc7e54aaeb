const STEP_MS = 5

/**
 * Measures how long this process's own work held its event loop. Call the result to stop and get the longest hold, in ms. Time that
 * the process waited for a core must not count, so the smaller one of wall time and CPU time does.
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
