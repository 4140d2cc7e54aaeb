import { connect } from 'node:net'
import type { Owner } from './scope.js'

/**
 * Sends bytes as they are over a new connection, and resolves with the bytes that came back: once they match `until`, the server
 * has ended the connection, or `ms` have passed.
 */
export function exchange(owner: Owner, url: string, bytes: string | Buffer, until = /$^/, ms = 5_000): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  owner.teardown(() => socket.destroy())
  return new Promise(resolve => {
    let answer = ''
    const end = () => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answer)
    }
    const timer = setTimeout(end, ms)
    socket.setEncoding('latin1')
    // A server that answers before it has read everything may reset the connection.
    socket.on('error', end).on('close', end)
    socket.on('data', chunk => {
      answer += chunk
      if (until.test(answer)) end()
    })
    socket.write(bytes)
  })
}
