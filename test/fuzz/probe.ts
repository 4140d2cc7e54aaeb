// Runs inside the gateway's process, started with --expose-gc. On SIGWINCH it collects garbage and writes the bytes in use.
process.on('SIGWINCH', () => {
  const { gc } = globalThis as { gc?: () => void } // --expose-gc sets it
  gc?.()
  const { heapUsed, external } = process.memoryUsage()
  process.stdout.write(`${JSON.stringify({ level: 30, msg: 'memory', usedBytes: heapUsed + external })}\n`)
})
