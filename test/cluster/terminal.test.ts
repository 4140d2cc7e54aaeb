import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { findCommand } from '../helpers/owned-process.js'
import { freePort } from '../helpers/ports.js'
import type { Owner } from '../helpers/scope.js'
import { openStream } from '../helpers/sse.js'

const NODE = `'${process.execPath}'`
const SERVER = `'${fileURLToPath(new URL('../../src/server.js', import.meta.url))}'`
const DEADLINE_MS = 20_000
const CTRL_C = '\x03'

/** Runs this command on a pseudo-terminal: stdin, stdout and stderr. Resolves once the gateway answers. */
async function startOnTerminal(owner: Owner, env: Record<string, string> = {}, start = `exec ${NODE} ${SERVER}`) {
  const script = findCommand('script')
  if (script === undefined) throw new Error("no command 'script' here, which makes terminals: apt-get install bsdutils")
  const port = `${await freePort()}`
  const command = `echo pid $$; ${start}`
  const { PATH, HOME } = process.env
  const child = spawn(script, ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: { PATH, HOME, SHELL: '/bin/sh', TERM: 'xterm-256color', PORT: port, ...env },
  })
  owner.teardown(() => void child.kill('SIGKILL'))
  const terminal = { output: '', code: once(child, 'close').then(([code]) => code as number | null) } // 'close' comes with the exit code
  child.stdout.setEncoding('utf8').on('data', text => {
    terminal.output += text
  })
  const isUp = () =>
    fetch(`http://127.0.0.1:${port}/livez`).then(
      answer => answer.ok,
      () => false,
    )
  await waitFor(isUp, DEADLINE_MS, 'the gateway to answer')
  const pid = Number(/pid (\d+)/.exec(terminal.output)?.[1])
  owner.teardown(() => {
    if (child.exitCode === null) process.kill(pid, 'SIGKILL')
  })
  return Object.assign(terminal, { port, pid, type: (keys: string) => void child.stdin.write(keys) })
}

t.test('on a terminal lines are readable and the address stands apart; Ctrl-C drains and exits 0', async t => {
  const terminal = await startOnTerminal(t)
  await waitFor(() => terminal.output.includes('in a browser'), DEADLINE_MS, 'the address')
  t.match(terminal.output, `\r\n\r\n  \x1b[1;32mOpen http://127.0.0.1:${terminal.port}/ in a browser\x1b[0m\r\n\r\n`)
  t.match(terminal.output, '] \x1b[32mINFO\x1b[39m: \x1b[36mgateway listening')
  t.notMatch(terminal.output, /^\{"level"/m)
  terminal.type(CTRL_C)
  t.equal(await terminal.code, 0)
  t.match(terminal.output, /draining.*"signal":"SIGINT"/, 'the last lines are there')
})

t.test('Ctrl-C on npm start drains too, though npm hands on what the terminal has sent already', async t => {
  const folder = t.testdir({ 'package.json': JSON.stringify({ scripts: { start: `exec ${NODE} ${SERVER}` } }) })
  const terminal = await startOnTerminal(t, {}, `exec npm start --prefix '${folder}'`)
  const stream = await openStream(t, `http://127.0.0.1:${terminal.port}/v1/stream?user=42`)
  await stream.next('stream.open')
  terminal.type(CTRL_C)
  t.match(await stream.next('stream.close'), { data: /"shutdown"/ })
  t.equal(await terminal.code, 0)
  t.match(terminal.output, /draining.*"signal":"SIGINT"/)
})

t.test('NO_COLOR and terminals without colours get none; SIGTERM drains and exits 0', async t => {
  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    const terminal = await startOnTerminal(t, env)
    await waitFor(() => terminal.output.includes('in a browser'), DEADLINE_MS, 'the address')
    process.kill(terminal.pid, 'SIGTERM')
    t.equal(await terminal.code, 0)
    t.match(terminal.output, /\] INFO: draining .*"signal":"SIGTERM"/)
    t.notMatch(terminal.output, '\x1b[')
  }
})

t.test('LOG_LEVEL holds on a terminal too, for the address as well', async t => {
  const terminal = await startOnTerminal(t, { LOG_LEVEL: 'warn' })
  process.kill(terminal.pid, 'SIGTERM')
  t.equal(await terminal.code, 0)
  t.match(terminal.output, /WARN.*open: no credentials/)
  t.notMatch(terminal.output, /INFO|browser/)
})

t.test('a gateway with credentials has no page to open, and says where it listens', async t => {
  const terminal = await startOnTerminal(t, { API_KEYS: 'backend=only-for-trying-out', NO_COLOR: '1' })
  await waitFor(() => terminal.output.includes('Listening at'), DEADLINE_MS, 'the address')
  t.match(terminal.output, `\r\n\r\n  Listening at http://127.0.0.1:${terminal.port}/\r\n\r\n`)
  process.kill(terminal.pid, 'SIGTERM')
  t.equal(await terminal.code, 0)
})

t.test('without the optional package a terminal gets JSON, and no other word', async t => {
  const hooks = `export const resolve = (name, context, next) => {
    if (name === 'pino-pretty') throw Object.assign(new Error(name), { code: 'ERR_MODULE_NOT_FOUND' })
    return next(name, context)
  }`
  const register = `import { register } from 'node:module'
    register('./hooks.mjs', import.meta.url)`
  const folder = t.testdir({ 'hooks.mjs': hooks, 'register.mjs': register })
  const terminal = await startOnTerminal(t, {}, `exec ${NODE} --import '${join(folder, 'register.mjs')}' ${SERVER}`)
  process.kill(terminal.pid, 'SIGTERM')
  t.equal(await terminal.code, 0)
  const [, ...lines] = terminal.output.trim().split('\r\n')
  t.same(
    lines.map(line => JSON.parse(line).msg).filter(msg => msg === 'gateway listening' || msg === 'draining'),
    ['gateway listening', 'draining'],
  )
})

t.test('in a pipe every line is JSON, whatever is said about colours', async t => {
  const gateway = await startGateway(t, { FORCE_COLOR: '1', TERM: 'xterm-256color' })
  t.equal(await gateway.stop(), 0)
  const lines = gateway.output.trim().split('\n')
  t.ok(lines.length >= 4)
  for (const line of lines) t.equal(typeof JSON.parse(line).msg, 'string', line)
})

t.test('a gateway whose log nobody reads any more still ends at a signal, and at once at a second one', async t => {
  for (const [signals, code, env] of [
    [1, 0, {}],
    [2, 1, { DRAIN_DELAY_MS: '60000' }],
  ] as const) {
    const port = `${await freePort()}`
    const [command, args] = [process.execPath, [fileURLToPath(new URL('../../src/server.js', import.meta.url))]]
    const child = spawn(command, args, { env: { PORT: port, ...env }, stdio: ['ignore', 'pipe', 'ignore'] })
    t.teardown(() => void child.kill('SIGKILL'))
    const exited = once(child, 'exit')
    let output = ''
    child.stdout.setEncoding('utf8').on('data', text => {
      output += text
    })
    // All of its lines so far were written then: only those about its end meet the closed pipe.
    await waitFor(() => output.includes('gateway listening'), DEADLINE_MS, 'it to listen')
    child.stdout.destroy()
    child.kill('SIGTERM')
    if (signals === 2) {
      const isDraining = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 503
      await waitFor(isDraining, DEADLINE_MS, 'it to drain')
      child.kill('SIGTERM')
    }
    await waitFor(() => child.exitCode !== null, DEADLINE_MS, 'it to end')
    t.same((await exited)[0], code)
  }
})
