import { Failure, type Flag, text, UsageError, type Values } from './command.js'

/** Flags of the commands that talk to a gateway. */
export const REMOTE_FLAGS: Readonly<Record<string, Flag>> = {
  url: { type: 'string', value: 'URL', about: 'the gateway; default $TIDINGS_URL or http://127.0.0.1:3000' },
  key: { type: 'string', value: 'KEY', about: 'an API key or token; default $TIDINGS_KEY' },
}

const TIMEOUT_MS = 10_000

/**
 * The URL of a path on the gateway.
 * @throws UsageError  for a bad --url
 */
export function remoteUrl(values: Values, path: string): URL {
  const base = text(values, 'url') ?? (process.env.TIDINGS_URL || 'http://127.0.0.1:3000')
  // Never quoted: it may hold a password, or be a key that was meant for --key.
  const name = text(values, 'url') === undefined ? '$TIDINGS_URL' : '--url'
  if (!URL.canParse(base) || !/^https?:/.test(base)) {
    throw new UsageError(`${name} must be an http:// or https:// URL`)
  }
  const { username, password } = new URL(base)
  if (username !== '' || password !== '') {
    throw new UsageError(`${name} holds a user or password; give an API key or token with --key or $TIDINGS_KEY`)
  }
  return new URL(`.${path}`, base.endsWith('/') ? base : `${base}/`)
}

/** The headers that say who asks. */
export function remoteHeaders(values: Values): Record<string, string> {
  const key = text(values, 'key') ?? process.env.TIDINGS_KEY
  if (key && !/^[\x21-\x7e]+$/.test(key)) {
    throw new UsageError(
      `${text(values, 'key') === undefined ? '$TIDINGS_KEY' : '--key'} must be printable ASCII without spaces`,
    )
  }
  return key ? { authorization: `Bearer ${key}` } : {}
}

/**
 * The text of the gateway's answer to a POST.
 * @throws Failure  no answer, or a refusal; says why
 */
export async function post(values: Values, path: string, body: string, contentType: string): Promise<string> {
  const url = remoteUrl(values, path)
  const headers = { ...remoteHeaders(values), 'content-type': contentType }
  const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(
    (error: unknown) => {
      throw new Failure(`${url.origin} does not answer: ${reasonOf(error)}`)
    },
  )
  const answer = await response.text()
  if (!response.ok) throw new Failure(refusalOf(response.status, answer))
  return answer
}

/** An error answer in one line. */
export function refusalOf(status: number, answer: string): string {
  try {
    const { code, message } = JSON.parse(answer)
    if (typeof code === 'string' && typeof message === 'string') return `${code}: ${message}`
  } catch {
    // The answer is a proxy's page, not a gateway's JSON.
  }
  return `the answer was ${status}`
}

/** Why a request failed, down to what the network said. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'it took too long'
  if (error.cause instanceof AggregateError) return reasonOf(error.cause.errors[0])
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message
}
