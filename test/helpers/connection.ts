import { Connection, type ConnectionOptions } from '../../src/stream/connection.js'
import { Output } from './output.js'

/** Makes a connection without a gateway, which follows `*`, and the output that takes its bytes. */
export function createConnection(more: Partial<Omit<ConnectionOptions, 'output'>> = {}) {
  const output = new Output()
  const connection = new Connection({
    id: 'c',
    userId: '1',
    rooms: ['*'],
    envelope: false,
    output,
    queueLimitBytes: 1_048_576,
    expiresAt: null,
    issuedAt: null,
    retiresAt: Number.POSITIVE_INFINITY,
    now: () => 0,
    ...more,
  })
  return { output, connection }
}
