import { createReadStream } from 'node:fs'
import { EVERYONE, USER_PREFIX } from '../room.js'
import { type Command, Failure, required, text, UsageError, type Values } from './command.js'
import { post, REMOTE_FLAGS } from './remote.js'

const MAX_BYTES = 8 * 1_024 * 1_024

/** `tidings publish` */
export const publish: Command = {
  summary: 'publish an event, or many from a file; prints what the gateway answers',
  flags: {
    to: { type: 'string', value: 'ROOM', about: "user:42, a room, or '*' for everyone" },
    type: { type: 'string', value: 'TYPE', about: 'event type' },
    data: { type: 'string', value: 'JSON', about: "any JSON value, sent as it stands; '-' reads it from stdin" },
    text: { type: 'string', value: 'TEXT', about: 'a text instead of JSON' },
    ephemeral: { type: 'boolean', about: 'take no history' },
    once: { type: 'string', value: 'ID', about: 'idempotency key: the same one within 5 minutes publishes once' },
    from: { type: 'string', value: 'FILE', about: "many: one event a line, {to,type,data}; '-' for stdin" },
    ...REMOTE_FLAGS,
  },
  examples: [
    `tidings publish --to user:42 --type job.complete --data '{"jobId":7}'`,
    `echo '{"to":"hub","type":"note","data":"hello"}' | tidings publish --from -`,
  ],
  async run(values) {
    const answer = text(values, 'from') === undefined ? await publishOne(values) : await publishMany(values)
    process.stdout.write(`${answer}\n`)
    return 0
  },
}

async function publishOne(values: Values): Promise<string> {
  const [to, type] = [required(values, 'to'), required(values, 'type')]
  const members = [`"type":${JSON.stringify(type)}`, `"data":${await payload(values)}`]
  if (values.ephemeral === true) members.push('"ephemeral":true')
  const once = text(values, 'once')
  if (once !== undefined) members.push(`"key":${JSON.stringify(once)}`)
  return post(values, pathOf(to), `{${members.join(',')}}`, 'application/json')
}

async function publishMany(values: Values): Promise<string> {
  const unused = ['to', 'type', 'data', 'text', 'once', 'ephemeral'].find(name => values[name] !== undefined)
  if (unused !== undefined) throw new UsageError(`--${unused} does not go with --from: each line says it by itself`)
  return post(values, '/v1/events', await contentOf(required(values, 'from')), 'application/x-ndjson')
}

// JSON goes out as it came in: parsed and printed again, large numbers would change.
async function payload(values: Values): Promise<string> {
  const [data, plain] = [text(values, 'data'), text(values, 'text')]
  if (data !== undefined && plain !== undefined) throw new UsageError('--data and --text do not go together')
  if (plain !== undefined) return JSON.stringify(plain)
  if (data === undefined) return 'null'
  const json = data === '-' ? await contentOf('-') : data
  try {
    JSON.parse(json)
  } catch (error) {
    throw new UsageError(`--data is no JSON (${error instanceof Error ? error.message : error}); is it a --text?`)
  }
  return json
}

function pathOf(to: string): string {
  if (to === EVERYONE) return '/v1/broadcast'
  if (to.startsWith(USER_PREFIX)) return `/v1/users/${encodeURIComponent(to.slice(USER_PREFIX.length))}/events`
  return `/v1/rooms/${encodeURIComponent(to)}/events`
}

// Reads no more than a gateway takes, because a pipe may never end.
async function contentOf(path: string): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const part of path === '-' ? process.stdin : createReadStream(path)) {
      parts.push(part)
      bytes += part.length
      if (bytes > MAX_BYTES) break
    }
  } catch (error) {
    throw new Failure(`${path} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
  if (bytes > MAX_BYTES) throw new Failure(`${path} is over ${MAX_BYTES} bytes, which is all that one request may have`)
  return Buffer.concat(parts).toString()
}
