import { connect, createServer, type Socket } from 'node:net'
import { freePort } from '../helpers/ports.js'
import type { Owner } from '../helpers/scope.js'

/** Gets the blocks of one stream in turn and returns the blocks that the reader gets instead. */
export type Doctor = (block: string) => string[]

/** Starts a proxy before a gateway whose doctor edits the first `patients` streams that pass through it. */
export async function startDoctoring(
  owner: Owner,
  targetUrl: string,
  doctor: Doctor,
  patients: number,
): Promise<string> {
  const port = await freePort()
  const sockets = new Set<Socket>()
  let streams = 0
  const server = createServer(reader => {
    const gateway = connect(Number(new URL(targetUrl).port), '127.0.0.1')
    const edit = streams++ < patients ? doctor : (block: string) => [block]
    for (const socket of [reader, gateway]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        reader.destroy()
        gateway.destroy()
      })
    }
    reader.pipe(gateway)
    let rest = ''
    let isBody = false
    gateway.setEncoding('latin1').on('data', text => {
      rest += text
      if (!isBody && rest.includes('\r\n\r\n')) {
        const end = rest.indexOf('\r\n\r\n') + 4
        reader.write(rest.slice(0, end), 'latin1')
        rest = rest.slice(end)
        isBody = true
      }
      const blocks = isBody ? rest.split('\n\n') : [rest]
      rest = blocks.pop() ?? ''
      for (const block of blocks) for (const shown of edit(block)) reader.write(`${shown}\n\n`, 'latin1')
    })
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  owner.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${port}`
}

/** Edits the nth event of the stream. */
export function atEvent(nth: number, edit: (block: string) => string[]): Doctor {
  let events = 0
  return block => (block.includes('event: chaos') && ++events === nth ? edit(block) : [block])
}

/** Swaps the nth event with the block after it. */
export function swapAt(nth: number): Doctor {
  let held: string | undefined
  const edit = atEvent(nth, block => {
    held = block
    return []
  })
  return block => {
    if (held === undefined) return edit(block)
    const both = [block, held]
    held = undefined
    return both
  }
}
