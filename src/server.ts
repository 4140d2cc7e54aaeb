import { existsSync, realpathSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import closeWithGrace from 'close-with-grace'
import { buildApp } from './app.js'
import { type Config, isLoopback, isOpen, readConfig } from './config.js'
import { InvalidConfig } from './errors.js'

/**
 * Runs the gateway until a signal ends it: SIGTERM and SIGINT drain and exit 0, a second one exits at once.
 * @throws InvalidConfig  lists every bad variable
 */
export async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const config = readConfig(env)
  refuseOpenToTheWorld(config)
  const app = await buildApp(config)
  // A drain takes as long as it is configured to; the margin is for the last bytes and the bus.
  const limitMs = config.drainDelayMs + config.drainWindowMs + 5_000
  closeWithGrace({ delay: limitMs, logger: app.log }, async ({ err, signal }) => {
    if (err) app.log.error({ err }, 'closing after an error')
    else await drain(config, signal)
    await app.close()
  })
  if (isOpen(config))
    app.log.warn(
      { host: config.host },
      'open: no credentials are configured, anybody on this machine is whoever they say',
    )
  await app.listen({ host: config.host, port: config.port })
  const address = app.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : config.port
  app.log.info(
    { host: config.host, port, adapter: config.adapter, url: `http://${config.host}:${port}/` },
    'gateway listening',
  )

  async function drain({ drainDelayMs, drainWindowMs }: Config, signal: string | undefined): Promise<void> {
    app.log.info({ signal, drainDelayMs, drainWindowMs, connections: app.tidings.connections.size }, 'draining')
    app.tidings.announceShutdown()
    await delay(drainDelayMs)
    await app.tidings.drain(drainWindowMs)
  }
}

function refuseOpenToTheWorld(config: Config): void {
  if (!isOpen(config) || isLoopback(config.host)) return
  throw new InvalidConfig(
    `HOST is '${config.host}' but no credentials are configured, so anybody who reaches it could be any user; ` +
      'set JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL or API_KEYS, or listen on 127.0.0.1',
  )
}

/** `serve` for whoever started the process: what keeps it from starting goes to stderr, in words, and the exit code is 1. */
export async function main(): Promise<void> {
  try {
    await serve(process.env)
  } catch (error) {
    const isMistake = error instanceof InvalidConfig
    process.stderr.write(`${isMistake ? `the configuration is not usable:\n${error.message}` : String(error)}\n`)
    process.exitCode = 1
  }
}

// By real paths: through a link, or with a space in the path, names differ and nothing would start.
const [, started] = process.argv
if (started !== undefined && existsSync(started) && realpathSync(started) === fileURLToPath(import.meta.url)) {
  await main()
}
