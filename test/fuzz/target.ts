import { fileURLToPath } from 'node:url'
import { waitFor } from '../helpers/deadline.js'
import { type Gateway, type LogLine, startGateway } from '../helpers/gateway.js'
import { seconds, signWithSecret } from '../helpers/issuer.js'
import type { Owner } from '../helpers/scope.js'
import { cases, type Secrets } from './cases.js'
import { type FuzzReport, fuzz } from './fuzz.js'

const PROBE = fileURLToPath(new URL('probe.js', import.meta.url))
const SECRET = 'a secret of at least thirty-two characters'
const ROOT = 'fuzz-root-key-0123456789'
const JOBS = 'fuzz-jobs-key-0123456789'
// What a run may leave behind: remembered keys, rooms and tickets, all of them bounded.
const MAX_GROWTH_BYTES = 24 * 1_048_576
const WARM_UP = 2_000

/** What a run against a gateway found. */
export interface GatewayReport extends FuzzReport {
  readonly growthBytes: number
  /** Streams still open at the end. */
  readonly open: number
  /** What went wrong beside the answers. */
  readonly problems: readonly string[]
}

/** Starts a gateway with every kind of credential and fuzzes it; the gateway is gone with its owner. */
export async function fuzzGateway(
  owner: Owner,
  requests: number,
  seed: number,
  onProgress?: (sent: number) => void,
): Promise<GatewayReport> {
  const gateway = await startGateway(
    owner,
    {
      JWT_SECRET: SECRET,
      API_KEYS: `root=${ROOT},jobs=${JOBS}|session:*`,
      AUTH_COOKIE: 'session',
      CORS_ORIGINS: 'https://app.example',
      HISTORY_SIZE: '8',
      MAX_EVENT_BYTES: '4096',
      MAX_CONNECTIONS_PER_USER: '1000',
    },
    { nodeArgs: ['--expose-gc', '--import', PROBE] },
  )
  const secrets = await makeSecrets(gateway)
  const run = (requests: number, seed: number) =>
    fuzz({
      port: gateway.port,
      cases: cases(secrets),
      requests,
      seed,
      secrets: [SECRET, ROOT, JOBS, ...secrets.tokens],
      ...(onProgress === undefined ? {} : { onProgress }),
    })
  const warmUp = await run(WARM_UP, seed - 1)
  if (warmUp.violations.length > 0) return { ...warmUp, growthBytes: 0, open: 0, problems: [] }
  const before = await usedBytes(gateway)
  const report = await run(requests, seed)
  const problems: string[] = []
  if (!gateway.isRunning) return { ...report, growthBytes: 0, open: 0, problems: ['the gateway ended'] }
  const open = await openStreams(gateway)
  const growthBytes = (await usedBytes(gateway)) - before
  if (open > 0) problems.push(`${open} streams are still open`)
  if (growthBytes > MAX_GROWTH_BYTES) problems.push(`memory grew by ${growthBytes} bytes`)
  const secretsInLog = [SECRET, ROOT, JOBS, ...secrets.tokens, ...secrets.tickets]
  if (secretsInLog.some(secret => gateway.output.includes(secret))) problems.push('a secret is in the log')
  const errors = gateway.logs.filter(({ level }) => level >= 50)
  if (errors.length > 0) problems.push(`the gateway logged errors: ${JSON.stringify(errors[0])}`)
  return { ...report, growthBytes, open, problems }
}

async function makeSecrets({ url }: Gateway): Promise<Secrets> {
  // Made in the future: the run revokes users, and goes on with the same tokens.
  const iat = seconds(3_600)
  const exp = seconds(7_200)
  const tidings = { follow: ['session:*'], publish: ['session:*', 'user:{sub}'] }
  const tickets = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const headers = { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' }
      const response = await fetch(`${url}/v1/tickets`, { method: 'POST', headers, body: '{"userId":"42"}' })
      return ((await response.json()) as { ticket: string }).ticket
    }),
  )
  const tokens = [
    await signWithSecret(SECRET, { sub: '42', iat, exp, tidings }),
    await signWithSecret(SECRET, { sub: '7', iat, exp }),
    await signWithSecret(SECRET, { sub: '42', exp: seconds(-60) }),
  ]
  return { keys: [ROOT, JOBS], tokens, tickets }
}

async function usedBytes(gateway: Gateway): Promise<number> {
  const isMemory = (line: LogLine) => line.msg === 'memory'
  const seen = gateway.logs.filter(isMemory).length
  gateway.signal('SIGWINCH')
  await waitFor(() => gateway.logs.filter(isMemory).length > seen, 10_000, 'the gateway to say what it uses')
  return Number(gateway.logs.filter(isMemory).at(-1)!.usedBytes)
}

// The sockets were reset; a moment later the gateway knows.
async function openStreams({ url }: Gateway): Promise<number> {
  const read = async () => {
    const metrics = await (await fetch(`${url}/metrics`)).text()
    return Number(/^tidings_connections (\d+)$/m.exec(metrics)?.[1])
  }
  await waitFor(async () => (await read()) === 0, 5_000, 'all streams to be gone').catch(() => {})
  return read()
}
