import { existsSync, realpathSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type { Config } from './config/config.js'
import type { LogOutput } from './terminal.js'

// The length of the listen queue, in which a thundering herd waits until it is accepted. Past it the kernel drops SYNs, and clients come
// back after one, three and seven seconds. The kernel caps it at net.core.somaxconn.
const LISTEN_BACKLOG = 65_535

// Ctrl-C, or a supervisor's SIGTERM, reaches npm and this process, and then npm forwards it here again. That repeat must end no drain.
const NPM_REPEATS_MS = 500

const STOPS = ['SIGTERM', 'SIGINT'] as const

/**
 * Runs the gateway until a signal ends it: SIGTERM and SIGINT drain and exit 0, a second one exits at once.
 * @throws InvalidConfig  lists every bad variable
 */
export async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const stopEarly = () => process.exit(0)
  // The first process of a container ignores signals without a handler, and loading the program takes a moment. So the handlers
  // come first, and the rest is loaded after them.
  process.on('SIGTERM', stopEarly).on('SIGINT', stopEarly)
  // SIGHUP without a handler would end the process. The certificate is read later anyway.
  if (env.TLS_CERT !== undefined) process.on('SIGHUP', () => {})
  const { buildAdminApp, buildApp } = await import('./app.js')
  const { readConfig } = await import('./config/check.js')
  const { isOpen } = await import('./config/rules.js')
  const config = readConfig(env)
  const { openLog } = await import('./terminal.js')
  const log = await openLog()
  const app = await buildApp(config, log.destination)
  const admin = config.adminPort === undefined ? null : await buildAdminApp(app, config)
  if (isOpen(config)) {
    app.log.warn(
      { host: config.host },
      'open: no credentials are configured, anybody on this machine is whoever they say',
    )
  }
  await closeOnSignals(app, config, log, env.npm_lifecycle_event === undefined ? 0 : NPM_REPEATS_MS)
  process.off('SIGTERM', stopEarly).off('SIGINT', stopEarly)
  await reloadCertificate(app, config)
  await app.listen({ host: config.host, port: config.port, backlog: LISTEN_BACKLOG })
  if (admin !== null) await admin.listen({ host: config.host, port: config.adminPort! })
  const port = portOf(app)
  const scheme = config.tlsCert === undefined ? 'http' : 'https'
  const url = `${scheme}://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}/`
  const adminPort = admin === null ? undefined : portOf(admin)
  app.log.info({ host: config.host, port, adminPort, adapter: config.adapter, url }, 'gateway listening')
  // Only the open gateway has a page at this address.
  if (['info', 'debug', 'trace'].includes(config.logLevel))
    log.announce(isOpen(config) ? `Open ${url} in a browser` : `Listening at ${url}`)
}

/** `serve` as a program: a failed start is told on stderr in words, with exit code 1. */
export async function main(): Promise<void> {
  try {
    await serve(process.env)
  } catch (error) {
    process.stderr.write(`${inWords(error, process.env)}\n`)
    process.exit(1)
  }
}

function inWords(error: unknown, env: NodeJS.ProcessEnv): string {
  if (!(error instanceof Error)) return String(error)
  // Safe: every member is optional. Only a system error of listen() is known to have all of them.
  const { code, syscall, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number }
  if (code === 'TIDINGS_INVALID_CONFIG') return `the configuration is not usable:\n${error.message}`
  if (syscall !== 'listen') return String(error)
  const variable = env.ADMIN_PORT === `${port}` ? 'ADMIN_PORT' : 'PORT'
  const mends: Record<string, string> = {
    EADDRINUSE: `another program listens there. Choose another port with ${variable}, or end that program`,
    EACCES: `this user may not. Choose a port above 1023 with ${variable}`,
    EADDRNOTAVAIL: 'this machine has no such address. HOST must be an address of this machine',
  }
  const mend = mends[code ?? '']
  return `${variable} ${port} of ${address} cannot be opened (${error.message})${mend === undefined ? '' : `: ${mend}`}`
}

async function closeOnSignals(app: FastifyInstance, config: Config, log: LogOutput, repeatsMs: number): Promise<void> {
  const { default: closeWithGrace } = await import('close-with-grace')
  const { drainDelayMs, drainWindowMs } = config
  // A drain takes as long as it is configured to; the margin is for the last bytes, the last answers and the bus.
  const limitMs = drainDelayMs + drainWindowMs + 10_000
  // SIGHUP renews the certificate. Without a certificate it says that the terminal hung up.
  const renews: 'SIGHUP'[] = config.tlsCert === undefined ? [] : ['SIGHUP']
  let first: { signal: string | undefined; at: number } | undefined
  const options = { delay: limitMs, logger: app.log, skip: [...STOPS, ...renews] }
  const grace = closeWithGrace(options, async ({ err, signal }) => {
    first ??= { signal, at: performance.now() }
    if (err) app.log.error({ err }, 'closing after an error')
    else {
      const connections = app.tidings.connections.size
      app.log.info({ signal: first.signal, drainDelayMs, drainWindowMs, connections }, 'draining')
      app.tidings.announceShutdown()
      await delay(drainDelayMs)
      await app.tidings.drain(drainWindowMs)
    }
    await app.close()
    await log.flush()
  })
  // These listeners stay: without one, even for a moment, the next signal would end the process.
  for (const stop of STOPS) {
    process.on(stop, signal => {
      if (first === undefined) {
        first = { signal, at: performance.now() }
        void grace.close()
      } else if (performance.now() - first.at >= repeatsMs) {
        app.log.error(`second ${signal}, exiting`)
        void log.flush().then(() => process.exit(1))
      }
    })
  }
}

async function reloadCertificate(app: FastifyInstance, config: Config): Promise<void> {
  const { watchCertificate } = await import('./http/tls.js')
  const { server } = app
  const stop = watchCertificate(
    config.tlsCert,
    config.tlsKey,
    certificate => {
      if ('setSecureContext' in server && typeof server.setSecureContext === 'function') {
        server.setSecureContext(certificate)
        app.log.info('certificate reloaded')
      }
    },
    error => app.log.error({ err: error }, 'the new certificate cannot be used; the old one stays'),
  )
  app.server.on('close', stop)
}

function portOf(app: FastifyInstance): number {
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

// Real paths are compared: through a link, or with a space in the path, the names differ, and nothing would start.
const [, started] = process.argv
if (started !== undefined && existsSync(started) && realpathSync(started) === fileURLToPath(import.meta.url)) {
  await main()
}
