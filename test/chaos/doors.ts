import { Agent, request } from 'node:http'
import type { Publisher } from '../../src/publisher.js'

/** An event on its way to a door. Its `data` identifies it to the ledger. */
export interface Item {
  room: string
  data: object
  key: string | undefined
}

/** The outcome of a publish, the same for all its items. */
export type Outcome =
  /** `bearer` has the events now: the host and port of a replica, or the name of the door. */
  | { kind: 'acknowledged'; ids: string[]; bearer: string }
  | { kind: 'refused'; why: string }
  | { kind: 'uncertain'; why: string }
  | { kind: 'unexpected'; why: string }

/** A way to publish. */
export interface Door {
  readonly name: string
  publish(items: Item[]): Promise<Outcome>
  close(): void
}

export const EVENT_TYPE = 'chaos'

const ANSWER_MS = 10_000

interface Answer {
  host: string
  status: number
  text: string
}

/** Publishes over HTTP, to the replica that `nextUrl` names: one event on the route of its room, several as a batch. */
export function createHttpDoor(name: string, nextUrl: () => string, onAnswer: (ms: number) => void): Door {
  const agent = new Agent({ keepAlive: true })
  const post = (path: string, body: unknown): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const startedAt = performance.now()
      const url = new URL(path, nextUrl())
      const options = { method: 'POST', agent, headers: { 'content-type': 'application/json' }, timeout: ANSWER_MS }
      const sent = request(url, options, response => {
        const chunks: Buffer[] = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          onAnswer(performance.now() - startedAt)
          resolve({ host: url.host, status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() })
        })
      })
      sent.on('timeout', () => sent.destroy(new Error(`no answer within ${ANSWER_MS} ms`)))
      sent.on('error', reject)
      sent.end(JSON.stringify(body))
    })
  return {
    name,
    publish: async items => {
      try {
        const [only] = items
        const answer =
          only && items.length === 1
            ? await post(pathOf(only.room), { type: EVENT_TYPE, data: only.data, key: only.key })
            : await post(
                '/v1/events',
                items.map(({ room, ...rest }) => ({ to: room, type: EVENT_TYPE, ...rest })),
              )
        return outcomeOf(answer)
      } catch (error) {
        // Only a connection that was never made certainly published nothing.
        const code = codeOf(error)
        return { kind: code === 'ECONNREFUSED' ? 'refused' : 'uncertain', why: String(error) }
      }
    },
    close: () => agent.destroy(),
  }
}

/** Publishes directly through Redis, as a worker does. */
export function createEmitterDoor(name: string, emitter: Publisher & { close(): Promise<void> }): Door {
  return {
    name,
    publish: async items => {
      try {
        const events = items.map(({ room, ...rest }) => ({ to: room, type: EVENT_TYPE, ...rest }))
        const [only] = events
        const published =
          only && events.length === 1 ? [await emitter.publish(only.to, only)] : await emitter.publishMany(events)
        return { kind: 'acknowledged', ids: published.map(({ id }) => id), bearer: name }
      } catch (error) {
        return failureOf(codeOf(error), String(error))
      }
    },
    close: () => void emitter.close(),
  }
}

function pathOf(room: string): string {
  if (room === '*') return '/v1/broadcast'
  if (room.startsWith('user:')) return `/v1/users/${room.slice('user:'.length)}/events`
  return `/v1/rooms/${room}/events`
}

function outcomeOf({ host, status, text }: Answer): Outcome {
  const body = JSON.parse(text) as { id?: string; events?: { id: string }[]; code?: string } // the documented answers
  if (status === 202) {
    const ids = body.events?.map(({ id }) => id) ?? (body.id ? [body.id] : [])
    return { kind: 'acknowledged', ids, bearer: host }
  }
  return failureOf(body.code, `${status} ${text}`)
}

function failureOf(code: string | undefined, why: string): Outcome {
  if (code === 'TIDINGS_BUS_UNCERTAIN') return { kind: 'uncertain', why }
  if (code === 'TIDINGS_BUS_UNAVAILABLE' || code === 'TIDINGS_CLOSED') return { kind: 'refused', why }
  return { kind: 'unexpected', why }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
