#!/usr/bin/env node
import { parseArgs } from 'node:util'
import { checkConfig } from './cli/check-config.js'
import { type Command, Failure, helpOf, UsageError } from './cli/command.js'
import { plan } from './cli/plan.js'
import { publish } from './cli/publish.js'
import { serve } from './cli/serve.js'
import { tail } from './cli/tail.js'
import { ticket } from './cli/ticket.js'
import { token } from './cli/token.js'
import { version } from './version.js'

const COMMANDS: Readonly<Record<string, Command>> = {
  serve,
  publish,
  tail,
  token,
  ticket,
  plan,
  'check-config': checkConfig,
}

/** Runs a command line. Exit codes: 0 done, 1 it did not work out, 2 the command line makes no sense; errors on stderr. */
async function main([name, ...args]: string[]): Promise<number | null> {
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(args[0] === undefined ? overview() : helpFor(args[0]))
    return name === undefined ? 2 : 0
  }
  if (name === '--version' || name === 'version') {
    process.stdout.write(`${version}\n`)
    return 0
  }
  const command = commandOf(name)
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(helpOf(name, command))
    return 0
  }
  return command.run(parse(args, command))
}

function commandOf(name: string): Command {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) throw new UsageError(`no command '${name}'; there are ${Object.keys(COMMANDS).join(', ')}`)
  return command
}

function helpFor(name: string): string {
  return helpOf(name, commandOf(name))
}

function overview(): string {
  const width = Math.max(...Object.keys(COMMANDS).map(name => name.length))
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
  return ['tidings <command> [flags]', '', ...lines, '', "'tidings <command> --help' says more.", ''].join('\n')
}

function parse(args: string[], { flags }: Command) {
  const options = Object.fromEntries(Object.entries(flags).map(([name, { type }]) => [name, { type }]))
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: false }).values
  } catch (error) {
    // The library quotes the stray argument, which may be part of a key: `--key my secret`.
    const isStray = error instanceof Error && 'code' in error && error.code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL'
    if (isStray) throw new UsageError('an argument stands without a flag before it; every one has a name')
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

const args = process.argv.slice(2)
// A reader of stdout may close it early (`| head`): the EPIPE is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
try {
  const code = await main(args)
  // Not exit(): it would cut output that is still on its way.
  if (code !== null) process.exitCode = code
} catch (error) {
  const isUsage = error instanceof UsageError
  const isExpected = isUsage || error instanceof Failure
  process.stderr.write(`tidings: ${isExpected ? error.message : error instanceof Error ? error.stack : error}\n`)
  const command = args[0] !== undefined && Object.hasOwn(COMMANDS, args[0]) ? `${args[0]} ` : ''
  if (isUsage) process.stderr.write(`'tidings ${command}--help' says more\n`)
  process.exitCode = isUsage ? 2 : 1
}
