import { type Command, Failure } from './command.js'

/** `tidings check-config` */
export const checkConfig: Command = {
  summary: 'read the environment as `serve` would, and say what it means or what is wrong with it',
  flags: {},
  examples: ['SSE_ADAPTER=redis tidings check-config'],
  async run() {
    const { readConfig, shownValueOf, VARIABLES } = await import('../config/check.js')
    const { InvalidConfig } = await import('../failures.js')
    try {
      const config = readConfig(process.env)
      const width = Math.max(...VARIABLES.map(({ env }) => env.length))
      for (const { name, env } of VARIABLES) {
        const value = config[name]
        const shown = value === undefined ? '-' : (shownValueOf(name, value) ?? '(set)')
        process.stdout.write(`${env.padEnd(width)}  ${shown}\n`)
      }
      return 0
    } catch (error) {
      if (error instanceof InvalidConfig) throw new Failure(`the configuration is not usable:\n${error.message}`)
      throw error
    }
  },
}
