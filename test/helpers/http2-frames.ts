import type { Socket } from 'node:net'

// HTTP/2 frame by frame, for tests that must do what no client library does: https://www.rfc-editor.org/rfc/rfc9113#section-4

/** Types of frames. */
export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7 } as const
/** Flags of HEADERS and DATA frames. */
export const END_STREAM = 1
export const END_HEADERS = 4

/** A received frame. */
export interface Frame {
  readonly type: number
  readonly stream: number
  readonly payload: Buffer
}

/** The first bytes of a connection: the preface, SETTINGS with this initial window, and the acknowledgement of the server's. */
export function preface(initialWindow = 65_535): Buffer {
  const window = Buffer.alloc(6)
  window.writeUInt16BE(4)
  window.writeUInt32BE(initialWindow, 2)
  const magic = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  return Buffer.concat([magic, frame(FRAME.settings, 0, 0, window), frame(FRAME.settings, 1, 0)])
}

/** The bytes of one frame. */
export function frame(type: number, flags: number, stream: number, payload: Buffer | string = ''): Buffer {
  const body = Buffer.from(payload)
  const head = Buffer.alloc(9)
  head.writeUIntBE(body.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, body])
}

/** The header block of a request, uncompressed. */
export function headerBlock(method: 'GET' | 'POST', path: string, headers: Record<string, string> = {}): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
  const parts = [
    Buffer.from([method === 'GET' ? 0x82 : 0x83, 0x87, 0x04]),
    text(path),
    Buffer.from([1]),
    text('localhost'),
  ]
  for (const [name, value] of Object.entries(headers)) parts.push(Buffer.from([0]), text(name), text(value))
  return Buffer.concat(parts)
}

/** Calls `onFrame` with every frame that comes. */
export function readFrames(socket: Socket, onFrame: (frame: Frame) => void): void {
  let rest = Buffer.alloc(0)
  socket.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes])
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3)
      onFrame({ type: rest[3]!, stream: rest.readUInt32BE(5), payload: rest.subarray(9, end) })
      rest = rest.subarray(end)
    }
  })
}
