import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import fc, { type Arbitrary } from 'fast-check'
import type { Case } from './cases.js'
import { http2Status, isHttp2Answered } from './http2.js'

/** The protocol: HTTP/1.1 over TCP (the default) or TLS, or HTTP/2 over TLS. */
export type Wire = 'http' | 'https' | 'h2'

/** Options of a run. */
export interface FuzzOptions {
  readonly port: number
  readonly wire?: Wire
  readonly cases: Arbitrary<Case>
  readonly requests: number
  readonly seed: number
  /** Secrets of the server: no answer may hold one. */
  readonly secrets: readonly string[]
  /** Deadline of the answer to a whole request. Default 10000. */
  readonly hangMs?: number
  /** Called now and then with the number of cases sent. */
  readonly onProgress?: (sent: number) => void
}

/** One broken rule. */
export interface Violation {
  readonly what: string
  /** `seed` and `index` reproduce the case. */
  readonly seed: number
  readonly index: number
  readonly sent: string
  readonly answer: string
}

/** The result of a run. */
export interface FuzzReport {
  readonly sent: number
  /** Answers by status; 0 stands for no answer. */
  readonly statuses: Readonly<Record<number, number>>
  readonly violations: readonly Violation[]
}

const CHUNK = 500
const AT_ONCE = 48
const SHOWN = 600
const HANG_MS = 10_000
// The server may rightly wait for the rest of an incomplete request, so the run waits only this long for an answer.
const PATIENCE_MS = 60
// The same over TLS, where a handshake comes first.
const PATIENCE_TLS_MS = 250
const MAX_VIOLATIONS = 10
const MIN_SECRET_LENGTH = 16

/** Sends `cases` cases, the same ones for the same seed, and judges every answer. Stops after ten violations. */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const { cases, requests, seed } = options
  const statuses: Record<number, number> = {}
  const violations: Violation[] = []
  let sent = 0
  for (let chunk = 0; sent < requests && violations.length < MAX_VIOLATIONS; chunk++) {
    const numRuns = Math.min(CHUNK, requests - sent)
    const waiting = fc.sample(cases, { seed: seed + chunk, numRuns }).entries()
    const sendAll = async () => {
      // All lanes draw from one iterator.
      for (const [index, each] of waiting) {
        const answer = await send(options, each, sent + index)
        const status = answer.status
        statuses[status] = (statuses[status] ?? 0) + 1
        const what = judge(each, answer, options.secrets)
        if (what === null) continue
        const shown = { sent: shownOf(each.bytes.toString('latin1')), answer: shownOf(answer.text) }
        violations.push({ what, seed: seed + chunk, index, ...shown })
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, sendAll))
    sent += numRuns
    options.onProgress?.(sent)
  }
  return { sent, statuses, violations }
}

/** The bytes that came back, and the end of the connection. */
interface Answer {
  readonly status: number
  readonly text: string
  readonly isHung: boolean
}

function judge({ isWhole, secrets }: Case, { text, status, isHung }: Answer, known: readonly string[]): string | null {
  if (status >= 500) return `answered ${status}`
  if (isWhole && isHung) return 'was neither answered nor ended'
  const isEchoed = [...secrets, ...known].some(secret => secret.length >= MIN_SECRET_LENGTH && text.includes(secret))
  return isEchoed ? 'a secret came back' : null
}

// Takes source addresses in turn: on Linux each has about 28,000 ports, and a port stays busy for a minute after its use (TIME_WAIT).
function send(options: FuzzOptions, { bytes, isWhole }: Case, turn: number): Promise<Answer> {
  const { port, wire = 'http', hangMs = HANG_MS } = options
  const isOver = wire === 'h2' ? isHttp2Answered : isOpenStream
  return new Promise(resolve => {
    const tcp = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (turn % 200)}` })
    const socket =
      wire === 'http'
        ? tcp
        : secured(
            tcp.on('error', () => {}),
            wire,
          )
    let text = ''
    const end = (isHung: boolean) => {
      clearTimeout(timer)
      tcp.resetAndDestroy()
      resolve({ text, status: wire === 'h2' ? http2Status(text) : statusOf(text), isHung })
    }
    // First read the bytes that arrived while this process was held up.
    const patienceMs = isWhole ? hangMs : wire === 'http' ? PATIENCE_MS : PATIENCE_TLS_MS
    const timer = setTimeout(() => setImmediate(() => end(true)), patienceMs)
    socket.setEncoding('latin1')
    // A server that answers before it has read everything resets the connection.
    socket.on('error', () => {}).on('close', () => end(false))
    socket.on('data', (part: string) => {
      text += part
      if (isOver(text)) end(false)
    })
    socket.write(bytes)
  })
}

function secured(socket: Socket, wire: Wire): Socket {
  // The run does not test the certificate.
  return connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: [wire === 'h2' ? 'h2' : 'http/1.1'] })
}

function isOpenStream(text: string): boolean {
  return /^content-type: text\/event-stream/im.test(text) && /\r\n\r\n.+\n\n/s.test(text)
}

// The status of the last head: `100 Continue` may come before the answer.
function statusOf(text: string): number {
  const heads = text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)
  return Number([...heads].map(([, status]) => status).find(status => !status?.startsWith('1')) ?? 0)
}

function shownOf(text: string): string {
  return JSON.stringify(text.length > SHOWN ? `${text.slice(0, SHOWN)}... (${text.length} bytes)` : text)
}
