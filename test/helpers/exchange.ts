import { connect } from 'node:net'
import type { Owner } from './scope.js'

/**
 * Sends bytes as they are over a connection of its own and resolves with what came back: when it matches `until`, or the
 * server ended the connection, or `ms` have passed.
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
    // A server that has answered may reset what it did not read.
    socket.on('error', end).on('close', end)
    socket.on('data', chunk => {
      answer += chunk
      if (until.test(answer)) end()
    })
    socket.write(bytes)
  })
}
