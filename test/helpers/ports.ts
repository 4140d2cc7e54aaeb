import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

// Below the ephemeral ports of outgoing connections (from 32768 on Linux, 49152 on macOS): such a connection could take a
// server's port while the server restarts.
const FIRST = 15_000
const LAST = 31_999

/**
 * A port of 127.0.0.1 that was free a moment ago. Another process may still take it first; then the caller retries with
 * another port.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, LAST)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)))
  })
}
