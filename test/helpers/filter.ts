import { connect, createServer } from 'node:net'
import type { Test } from 'tap'
import { freePort } from './ports.js'

/** Decides what happens to the bytes of one connection. */
export interface Filter {
  /** Sees the client's bytes, which pass in any case. */
  fromClient?(bytes: Buffer): void
  /** Passes the server's bytes on: at once, later or never. */
  toClient(bytes: Buffer, pass: (bytes: Buffer) => void): void
}

/** Starts a proxy before a server, with one filter per connection. Returns its port on 127.0.0.1. */
export async function startFilter(t: Test, targetPort: number, createFilter: () => Filter): Promise<number> {
  const proxy = createServer(client => {
    const server = connect(targetPort, '127.0.0.1')
    const filter = createFilter()
    client.on('data', bytes => {
      filter.fromClient?.(bytes)
      server.write(bytes)
    })
    server.on('data', bytes => filter.toClient(bytes, passed => void client.write(passed)))
    for (const socket of [client, server]) {
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        server.destroy()
      })
    }
  })
  const port = await freePort()
  await new Promise<void>(resolve => proxy.listen(port, '127.0.0.1', resolve))
  t.teardown(() => proxy.close())
  return port
}
