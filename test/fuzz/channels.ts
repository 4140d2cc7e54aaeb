import { connect, type Socket } from 'node:net'
import fc, { type Arbitrary } from 'fast-check'
import { RedisNames } from '../../src/redis/names.js'
import { waitFor } from '../helpers/deadline.js'
import type { Gateway } from '../helpers/gateway.js'
import { startRedis } from '../helpers/redis.js'
import type { Owner } from '../helpers/scope.js'
import { openStream } from '../helpers/sse.js'
import { mutated } from './mutations.js'
import { aftermath, startTarget, usedBytes } from './target.js'

// Messages that another writer, or a newer or broken version, could put on the channels of a gateway's Redis.

/** One message and its channel. */
export interface ChannelMessage {
  readonly channel: 'events' | 'replicas'
  readonly bytes: Buffer
}

/** The result of a run over the channels. */
export interface ChannelReport {
  readonly sent: number
  readonly growthBytes: number
  readonly problems: readonly string[]
}

const CHUNK = 500
const BYSTANDER = 'bystander'
const DEADLINE_MS = 15_000
const KEY = 'fuzz-root-key-0123456789'

/** Messages of every kind: well made, of a wrong shape, with a false length, mutated; and arbitrary bytes. */
export function channelMessages(): Arbitrary<ChannelMessage> {
  // Never the bus's current epoch: the bus believes a message that names it.
  const epoch = fc.constantFrom('k3f9a1c2', '', 'x'.repeat(300), '\0', 'k3f9a1c2-7')
  const number = fc.oneof(
    fc.nat(2_000).map(String),
    fc.constantFrom('0', '-1', '1.5', 'NaN', '', '9'.repeat(20), '9007199254740991', '4294967296', '1e9', ' 1'),
  )
  const item = fc
    .record({
      room: fc.oneof(fc.constantFrom('hub', `user:${BYSTANDER}`, '*', '', 'a b'), fc.string()),
      type: fc.oneof(fc.constantFrom('tick', 'stream.close', ''), fc.string()),
      flag: fc.constantFrom('', 'e', 'x'),
      data: fc.oneof(fc.json(), fc.string(), fc.constantFrom('{"a":', '\n\nevent: forged\n\n')),
      lie: fc.option(number, { freq: 3, nil: undefined }),
    })
    .map(({ room, type, flag, data, lie }) => `${room}\n${type}\n${flag}\n${lie ?? Buffer.byteLength(data)}\n${data}`)
  const events = fc
    .record({
      epoch,
      seq: number,
      at: number,
      items: fc.array(item, { maxLength: 4 }),
      lie: fc.option(number, { nil: undefined }),
    })
    .map(({ epoch, seq, at, items, lie }) => `E\n${epoch}\n${seq}\n${at}\n${lie ?? items.length}\n${items.join('')}`)
  const beacon = fc.tuple(epoch, number, fc.string()).map(([epoch, seq, mark]) => `B\n${epoch}\n${seq}\n${mark}`)
  const any = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom<unknown>(5, 'text', null, [], {}, true, 1e300))
  const command = fc.oneof(
    fc.record({
      kind: fc.constant('revoke-user'),
      userId: fc.oneof(fc.constant('7'), any),
      at: fc.oneof(fc.nat(), any),
    }),
    fc.record({ kind: fc.constantFrom('revoke-ticket', 'probe-ticket'), hash: fc.oneof(fc.string(), any) }),
    fc.record({ kind: fc.constant('replace-ticket'), hash: any, fence: any }),
    fc.record({ kind: fc.constant('disconnect'), connectionId: any }),
    fc.record({ kind: fc.constantFrom('of-a-newer-version', '__proto__', 'constructor', '') }),
    any,
  )
  const envelope = fc.oneof(
    fc.record({ id: fc.oneof(fc.uuid(), any), command }),
    fc.record({ id: fc.oneof(fc.uuid(), any), count: any }),
    fc.record({ id: any, command, count: any, version: any }, { requiredKeys: [] }),
    any,
  )
  const bytes = fc.oneof(
    { weight: 4, arbitrary: fc.oneof(events, beacon).map(text => Buffer.from(text)) },
    { weight: 4, arbitrary: envelope.map(value => Buffer.from(JSON.stringify(value))) },
    { weight: 1, arbitrary: fc.nat(2_000).map(levels => Buffer.from('['.repeat(levels) + ']'.repeat(levels))) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes)) },
  )
  const sent = fc.oneof({ weight: 2, arbitrary: bytes }, { weight: 1, arbitrary: mutated(bytes) })
  return fc.record({ channel: fc.constantFrom('events', 'replicas'), bytes: sent })
}

/**
 * Publishes this many messages on the channels of a gateway with its own Redis; the same seed gives the same messages. After each
 * chunk of them it publishes an event, which a bystander's stream must get.
 */
export async function fuzzChannels(owner: Owner, messages: number, seed: number): Promise<ChannelReport> {
  const redis = await startRedis(owner)
  const gateway = await startTarget(owner, { SSE_ADAPTER: 'redis', REDIS_URL: redis.url })
  const headers = { authorization: `Bearer ${KEY}` }
  const stream = await openStream(owner, `${gateway.url}/v1/stream?user=${BYSTANDER}&rooms=hub`, { headers })
  await stream.next('stream.open')
  const names = new RedisNames('tidings:', 0)
  const publish = publisher(owner, redis.port)
  const before = await usedBytes(gateway)
  let sent = 0
  for (let chunk = 0; sent < messages; chunk++) {
    const numRuns = Math.min(CHUNK, messages - sent)
    for (const { channel, bytes } of fc.sample(channelMessages(), { seed: seed + chunk, numRuns })) {
      publish(names[channel], bytes)
    }
    sent += numRuns
    const missing = await missed(gateway, stream, chunk)
    if (missing !== null) return { sent, growthBytes: 0, problems: [`seed ${seed + chunk}: ${missing}`] }
  }
  stream.close()
  const { growthBytes, problems } = await aftermath(gateway, before, [KEY])
  return { sent, growthBytes, problems }
}

async function missed(gateway: Gateway, stream: Awaited<ReturnType<typeof openStream>>, chunk: number) {
  const data = `after ${chunk}`
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
  const isThere = () => stream.events.some(event => event.type === 'bystander' && event.data === data)
  try {
    const body = JSON.stringify({ type: 'bystander', data })
    const answer = await fetch(`${gateway.url}/v1/users/${BYSTANDER}/events`, { method: 'POST', headers, body })
    if (answer.status !== 202) return `a publish was answered ${answer.status}`
    await waitFor(() => isThere() || !gateway.isRunning || stream.destroyed, DEADLINE_MS, 'the event')
  } catch (error) {
    // A gateway that dies cuts its connections a moment before its exit is seen.
    await waitFor(() => !gateway.isRunning, 1_000, 'its end').catch(() => {})
    if (gateway.isRunning) return `a bystander's event did not come: ${error}`
  }
  if (!gateway.isRunning) return `the gateway ended; its last words: ${gateway.output.slice(-600)}`
  return isThere() ? null : "a bystander's stream ended"
}

// Sends PUBLISH over a connection of its own, because messages are bytes and not text.
function publisher(owner: Owner, port: number): (channel: string, bytes: Buffer) => void {
  const socket: Socket = connect(port, '127.0.0.1')
  socket.on('error', () => {}).resume()
  owner.teardown(() => socket.destroy())
  return (channel, bytes) => {
    const head = `*3\r\n$7\r\nPUBLISH\r\n$${Buffer.byteLength(channel)}\r\n${channel}\r\n$${bytes.length}\r\n`
    socket.write(Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n')]))
  }
}
