import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../src/app.js'
import { checkOptions } from '../../src/config/check.js'
import type { Config } from '../../src/config/config.js'
import type { Owner } from './scope.js'

/** A gateway inside this process, listening on a free port of 127.0.0.1. */
export interface RunningApp {
  readonly app: FastifyInstance
  /** http://127.0.0.1:port */
  readonly url: string
}

/** Starts the whole gateway in this process; it closes with its owner. By default it is silent and drains at once. */
export async function startApp(owner: Owner, options: Partial<Config> = {}): Promise<RunningApp> {
  return listen(owner, await buildApp(checkOptions({ logLevel: 'silent', drainWindowMs: 0, ...options })))
}

/** Makes an application listen on a free port of 127.0.0.1; it closes with its owner. */
export async function listen(owner: Owner, app: FastifyInstance): Promise<RunningApp> {
  owner.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  // Safe: a server that listens on TCP has such an address.
  const { port } = app.server.address() as AddressInfo
  return { app, url: `http://127.0.0.1:${port}` }
}

/** The answer to a request, its JSON body parsed. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
}

/** Posts text as it is. */
export async function post(
  url: string,
  body: string,
  headers: Record<string, string> = { 'content-type': 'application/json' },
): Promise<Answer> {
  const response = await fetch(url, { method: 'POST', body, headers, signal: AbortSignal.timeout(10_000) })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) }
}
