import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

// Below the ranges that systems give to outgoing connections (Linux 32768, macOS 49152): otherwise such a
// connection could take a server's port while the server is being restarted on it.
const FIRST = 15_000
const LAST = 31_999

/**
 * A port of 127.0.0.1 that was free a moment ago. Another process may still take it first: who starts a server on it
 * retries with another one.
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
