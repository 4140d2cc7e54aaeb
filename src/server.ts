import { existsSync, realpathSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type { Config } from './config/config.js'

// Connections that come back all at once wait here until they are accepted; past it their SYN is dropped, which costs a second,
// then three, then seven. As many as the kernel lets it be: net.core.somaxconn.
const LISTEN_BACKLOG = 65_535

// A line a connection, each with a system call of its own, would be an eighth of a storm's work. So lines are written many at
// once, after half a second at the latest, by another thread, and all of them before the process exits. When nobody takes them, they are
// dropped past 16 MiB.
const LOG = { sync: false, minLength: 8_192, periodicFlush: 500, maxLength: 16 * 1_048_576 }

/**
 * Runs the gateway until a signal ends it: SIGTERM and SIGINT drain and exit 0, a second one exits at once.
 * @throws InvalidConfig  lists every bad variable
 */
export async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const stopEarly = () => process.exit(0)
  // The first process of a container ignores signals that nobody handles, and loading the program takes a moment. So this
  // comes before everything, and the rest is loaded behind it.
  process.on('SIGTERM', stopEarly).on('SIGINT', stopEarly)
  // The certificate is read after this anyway.
  if (env.TLS_CERT !== undefined) process.on('SIGHUP', () => {})
  const { buildAdminApp, buildApp } = await import('./app.js')
  const { readConfig } = await import('./config/check.js')
  const { isOpen } = await import('./config/rules.js')
  const config = readConfig(env)
  const { default: pino } = await import('pino')
  const app = await buildApp(config, pino.destination(LOG))
  const admin = config.adminPort === undefined ? null : await buildAdminApp(app, config)
  if (isOpen(config)) {
    app.log.warn(
      { host: config.host },
      'open: no credentials are configured, anybody on this machine is whoever they say',
    )
  }
  await closeOnSignals(app, config)
  process.off('SIGTERM', stopEarly).off('SIGINT', stopEarly)
  await reloadCertificate(app, config)
  await app.listen({ host: config.host, port: config.port, backlog: LISTEN_BACKLOG })
  if (admin !== null) await admin.listen({ host: config.host, port: config.adminPort! })
  const port = portOf(app)
  const scheme = config.tlsCert === undefined ? 'http' : 'https'
  const url = `${scheme}://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}/`
  const adminPort = admin === null ? undefined : portOf(admin)
  app.log.info({ host: config.host, port, adminPort, adapter: config.adapter, url }, 'gateway listening')
}

/** `serve` for whoever started the process: what keeps it from starting goes to stderr, in words, and the exit code is 1. */
export async function main(): Promise<void> {
  try {
    await serve(process.env)
  } catch (error) {
    const isMistake = error instanceof Error && 'code' in error && error.code === 'TIDINGS_INVALID_CONFIG'
    process.stderr.write(`${isMistake ? `the configuration is not usable:\n${error.message}` : String(error)}\n`)
    process.exit(1)
  }
}

async function closeOnSignals(app: FastifyInstance, config: Config): Promise<void> {
  const { default: closeWithGrace } = await import('close-with-grace')
  const { drainDelayMs, drainWindowMs } = config
  // A drain takes as long as it is configured to; the margin is for the last bytes, the last answers and the bus.
  const limitMs = drainDelayMs + drainWindowMs + 10_000
  // SIGHUP renews the certificate; without one it is a terminal that hangs up.
  const skip: 'SIGHUP'[] = config.tlsCert === undefined ? [] : ['SIGHUP']
  closeWithGrace({ delay: limitMs, logger: app.log, skip }, async ({ err, signal }) => {
    if (err) app.log.error({ err }, 'closing after an error')
    else {
      app.log.info({ signal, drainDelayMs, drainWindowMs, connections: app.tidings.connections.size }, 'draining')
      app.tidings.announceShutdown()
      await delay(drainDelayMs)
      await app.tidings.drain(drainWindowMs)
    }
    await app.close()
  })
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

// By real paths: through a link, or with a space in the path, names differ and nothing would start.
const [, started] = process.argv
if (started !== undefined && existsSync(started) && realpathSync(started) === fileURLToPath(import.meta.url)) {
  await main()
}
