import { connect } from 'node:net'
import fc, { type Arbitrary } from 'fast-check'
import type { Case } from './cases.js'

/** How a run goes. */
export interface FuzzOptions {
  readonly port: number
  readonly cases: Arbitrary<Case>
  readonly requests: number
  readonly seed: number
  /** Secrets of the server that no answer may hold, whatever was sent. */
  readonly secrets: readonly string[]
  /** How long an answer to a whole request may take. Default 10000. */
  readonly hangMs?: number
  /** Called now and then with how many were sent. */
  readonly onProgress?: (sent: number) => void
}

/** What must not have happened. */
export interface Violation {
  readonly what: string
  /** `seed` and `index` make the same case again. */
  readonly seed: number
  readonly index: number
  readonly sent: string
  readonly answer: string
}

/** What a run found. */
export interface FuzzReport {
  readonly sent: number
  /** Answers by status; 0 for none. */
  readonly statuses: Readonly<Record<number, number>>
  readonly violations: readonly Violation[]
}

const CHUNK = 500
const AT_ONCE = 48
const SHOWN = 600
const HANG_MS = 10_000
// What is not whole may leave the server waiting, and rightly.
const PATIENCE_MS = 60
const MAX_VIOLATIONS = 10
const MIN_SECRET_LENGTH = 16

/** Sends as many cases as asked for, the same ones for the same seed, and judges every answer. Stops after ten violations. */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const { cases, requests, seed } = options
  const statuses: Record<number, number> = {}
  const violations: Violation[] = []
  let sent = 0
  for (let chunk = 0; sent < requests && violations.length < MAX_VIOLATIONS; chunk++) {
    const numRuns = Math.min(CHUNK, requests - sent)
    const waiting = fc.sample(cases, { seed: seed + chunk, numRuns }).entries()
    const sendAll = async () => {
      // An iterator that all of them draw from.
      for (const [index, each] of waiting) {
        const answer = await send(options, each, sent + index)
        const status = statusOf(answer.text)
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

/** What came back, and how it ended. */
interface Answer {
  readonly text: string
  readonly isHung: boolean
}

function judge({ isWhole, secrets }: Case, { text, isHung }: Answer, known: readonly string[]): string | null {
  if (statusOf(text) >= 500) return `answered ${statusOf(text)}`
  if (isWhole && isHung) return 'was neither answered nor ended'
  const isEchoed = [...secrets, ...known].some(secret => secret.length >= MIN_SECRET_LENGTH && text.includes(secret))
  return isEchoed ? 'a secret came back' : null
}

// Over loopback addresses by turns: one has only so many ports, and each is busy for a minute after its use.
function send({ port, hangMs = HANG_MS }: FuzzOptions, { bytes, isWhole }: Case, turn: number): Promise<Answer> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (turn % 200)}` })
    let text = ''
    const end = (isHung: boolean) => {
      clearTimeout(timer)
      socket.resetAndDestroy()
      resolve({ text, isHung })
    }
    // What arrived while this process itself was not running is read first.
    const timer = setTimeout(() => setImmediate(() => end(true)), isWhole ? hangMs : PATIENCE_MS)
    socket.setEncoding('latin1')
    // A server that answered before it read everything resets what it did not read.
    socket.on('error', () => {}).on('close', () => end(false))
    socket.on('data', (part: string) => {
      text += part
      if (/^content-type: text\/event-stream/im.test(text) && /\r\n\r\n.+\n\n/s.test(text)) end(false)
    })
    socket.write(bytes)
  })
}

// Of the last head: `100 Continue` comes before the answer.
function statusOf(text: string): number {
  const heads = text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)
  return Number([...heads].map(([, status]) => status).find(status => !status?.startsWith('1')) ?? 0)
}

function shownOf(text: string): string {
  return JSON.stringify(text.length > SHOWN ? `${text.slice(0, SHOWN)}... (${text.length} bytes)` : text)
}
