import { fileURLToPath } from 'node:url'
import { createAuthority, makeFolder, writePair } from '../helpers/certificate.js'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, type LogLine, startGateway } from '../helpers/gateway.js'
import { seconds, signWithSecret } from '../helpers/issuer.js'
import type { Owner } from '../helpers/scope.js'
import { cases, type Secrets } from './cases.js'
import { type FuzzReport, fuzz } from './fuzz.js'
import { http2Cases } from './http2.js'
import { handshakes } from './tls.js'

const PROBE = fileURLToPath(new URL('probe.js', import.meta.url))
const SECRET = 'a secret of at least thirty-two characters'
const ROOT = 'fuzz-root-key-0123456789'
const JOBS = 'fuzz-jobs-key-0123456789'
// A run may leave idempotency keys, rooms and tickets in memory, all of them bounded.
const MAX_GROWTH_BYTES = 24 * 1_048_576
const WARM_UP = 2_000
const SECURE_WARM_UP = 300

/** The result of a run against a gateway. */
export interface GatewayReport extends FuzzReport {
  readonly growthBytes: number
  /** Streams still open at the end. */
  readonly open: number
  /** Problems other than wrong answers. */
  readonly problems: readonly string[]
}

const ENV = {
  JWT_SECRET: SECRET,
  API_KEYS: `root=${ROOT},jobs=${JOBS}|session:*`,
  AUTH_COOKIE: 'session',
  CORS_ORIGINS: 'https://app.example',
  HISTORY_SIZE: '8',
  MAX_EVENT_BYTES: '4096',
  MAX_CONNECTIONS_PER_USER: '1000',
}

/** Starts a gateway with every kind of credential and `env`, whose memory `usedBytes()` reads. */
export function startTarget(owner: Owner, env: Record<string, string> = {}): Promise<Gateway> {
  return startGateway(owner, { ...ENV, ...env }, { nodeArgs: ['--expose-gc', '--import', PROBE] })
}

/** Starts a gateway with every kind of credential and fuzzes it; the gateway is gone with its owner. */
export async function fuzzGateway(
  owner: Owner,
  requests: number,
  seed: number,
  onProgress?: (sent: number) => void,
): Promise<GatewayReport> {
  const gateway = await startTarget(owner)
  const secrets = await makeSecrets(gateway)
  const run = (requests: number, seed: number) =>
    fuzz({ ...targetOf(gateway, secrets), cases: cases(secrets), requests, seed, ...(onProgress && { onProgress }) })
  return judged(
    gateway,
    secrets,
    () => run(WARM_UP, seed - 1),
    () => run(requests, seed),
  )
}

/** The same over TLS: a third of the cases are broken handshakes and plain HTTP, a third HTTP/1.1, a third frames of HTTP/2. */
export async function fuzzSecure(
  owner: Owner,
  requests: number,
  seed: number,
  onProgress?: (sent: number) => void,
): Promise<GatewayReport> {
  const files = await writePair(await makeFolder(owner), createAuthority().issue('fuzz'))
  const gateway = await startTarget(owner, { TLS_CERT: files.cert, TLS_KEY: files.key, ADMIN_PORT: '0' })
  const secrets = { keys: [ROOT, JOBS], tokens: await makeTokens(), tickets: ['tkt_0123456789abcdef'] }
  const plain = cases(secrets)
  const wires = [
    ['http', handshakes(plain)],
    ['https', plain],
    ['h2', http2Cases(secrets)],
  ] as const
  const run = async (requests: number, seed: number) => {
    const reports: FuzzReport[] = []
    for (const [wire, cases] of wires) {
      const before = reports.reduce((sent, report) => sent + report.sent, 0)
      reports.push(
        await fuzz({
          ...targetOf(gateway, secrets),
          wire,
          cases,
          requests: Math.ceil(requests / wires.length),
          seed,
          ...(onProgress && { onProgress: (sent: number) => onProgress(before + sent) }),
        }),
      )
    }
    return merged(reports)
  }
  return judged(
    gateway,
    secrets,
    () => run(SECURE_WARM_UP, seed - 1),
    () => run(requests, seed),
  )
}

function targetOf({ port }: Gateway, { tokens }: Secrets) {
  return { port, secrets: [SECRET, ROOT, JOBS, ...tokens] }
}

function merged(reports: readonly FuzzReport[]): FuzzReport {
  const statuses: Record<number, number> = {}
  for (const report of reports) {
    for (const [status, count] of Object.entries(report.statuses)) {
      statuses[Number(status)] = (statuses[Number(status)] ?? 0) + count
    }
  }
  const sent = reports.reduce((sum, report) => sum + report.sent, 0)
  return { sent, statuses, violations: reports.flatMap(({ violations }) => violations) }
}

async function judged(
  gateway: Gateway,
  secrets: Secrets,
  warmUp: () => Promise<FuzzReport>,
  run: () => Promise<FuzzReport>,
): Promise<GatewayReport> {
  const first = await warmUp()
  if (first.violations.length > 0) return { ...first, growthBytes: 0, open: 0, problems: [] }
  const before = await usedBytes(gateway)
  const report = await run()
  return {
    ...report,
    ...(await aftermath(gateway, before, [SECRET, ROOT, JOBS, ...secrets.tokens, ...secrets.tickets])),
  }
}

/** Finds what a run left behind: more memory than before, open streams, and secrets or errors in the log. */
export async function aftermath(gateway: Gateway, usedBefore: number, secrets: readonly string[]) {
  const problems: string[] = []
  if (!gateway.isRunning) return { growthBytes: 0, open: 0, problems: ['the gateway ended'] }
  const open = await openStreams(gateway)
  const growthBytes = (await usedBytes(gateway)) - usedBefore
  if (open > 0) problems.push(`${open} streams are still open`)
  if (growthBytes > MAX_GROWTH_BYTES) problems.push(`memory grew by ${growthBytes} bytes`)
  if (secrets.some(secret => gateway.output.includes(secret))) problems.push('a secret is in the log')
  const errors = gateway.logs.filter(({ level }) => level >= 50)
  if (errors.length > 0) problems.push(`the gateway logged errors: ${JSON.stringify(errors[0])}`)
  return { growthBytes, open, problems }
}

async function makeSecrets({ url }: Gateway): Promise<Secrets> {
  const tickets = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const headers = { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' }
      const response = await fetch(`${url}/v1/tickets`, { method: 'POST', headers, body: '{"userId":"42"}' })
      return ((await response.json()) as { ticket: string }).ticket
    }),
  )
  return { keys: [ROOT, JOBS], tokens: await makeTokens(), tickets }
}

async function makeTokens(): Promise<string[]> {
  const exp = seconds(7_200)
  const tidings = { follow: ['session:*'], publish: ['session:*', 'user:{sub}'] }
  return [
    await signWithSecret(SECRET, { sub: '42', exp, tidings }),
    // The run revokes the users that it names, but never this one.
    await signWithSecret(SECRET, {
      sub: 'never-revoked',
      exp,
      tidings: { ...tidings, publish: [...tidings.publish, 'user:42'] },
    }),
    await signWithSecret(SECRET, { sub: '7', exp }),
    await signWithSecret(SECRET, { sub: '42', exp: seconds(-60) }),
  ]
}

/** The bytes in use after a garbage collection. */
export async function usedBytes(gateway: Gateway): Promise<number> {
  const isMemory = (line: LogLine) => line.msg === 'memory'
  const seen = gateway.logs.filter(isMemory).length
  gateway.signal('SIGWINCH')
  await waitFor(() => gateway.logs.filter(isMemory).length > seen, 10_000, 'the gateway to say what it uses')
  return Number(gateway.logs.filter(isMemory).at(-1)!.usedBytes)
}

// The gateway learns a moment later that the sockets were reset.
async function openStreams({ adminUrl }: Gateway): Promise<number> {
  const read = async () => {
    const metrics = await (await fetch(`${adminUrl}/metrics`)).text()
    return Number(/^tidings_connections (\d+)$/m.exec(metrics)?.[1])
  }
  await waitFor(async () => (await read()) === 0, 5_000, 'all streams to be gone').catch(() => {})
  return read()
}
