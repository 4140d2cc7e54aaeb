// Loaded into the gateway's process by the fuzz run, with --expose-gc: on SIGWINCH it writes what memory is really in use.
process.on('SIGWINCH', () => {
  const { gc } = globalThis as { gc?: () => void } // there with --expose-gc
  gc?.()
  const { heapUsed, external } = process.memoryUsage()
  process.stdout.write(`${JSON.stringify({ level: 30, msg: 'memory', usedBytes: heapUsed + external })}\n`)
})
