import type { Command } from './command.js'

/** `tidings serve` */
export const serve: Command = {
  summary: 'run the gateway, configured by environment variables, until SIGTERM or Ctrl-C',
  flags: {},
  examples: ['PORT=8080 tidings serve', 'SSE_ADAPTER=redis REDIS_URL=redis://127.0.0.1:6379 tidings serve'],
  async run() {
    const { main } = await import('../server.js')
    await main()
    return null
  },
}
