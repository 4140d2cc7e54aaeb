import { Connection, type ConnectionOptions } from '../../src/stream/connection.js'
import { Sink } from './sink.js'

/** A connection that follows everyone, without a gateway, and the sink that takes its bytes. */
export function createConnection(more: Partial<Omit<ConnectionOptions, 'sink'>> = {}) {
  const sink = new Sink()
  const connection = new Connection({
    id: 'c',
    userId: '1',
    rooms: ['*'],
    envelope: false,
    sink,
    queueLimitBytes: 1_048_576,
    expiresAt: null,
    issuedAt: null,
    retiresAt: Number.POSITIVE_INFINITY,
    now: () => 0,
    ...more,
  })
  return { sink, connection }
}
