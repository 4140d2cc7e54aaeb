import { spawn } from 'node:child_process'
import { text as readAll } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { waitFor } from '../helpers/deadline.js'
import { startGateway } from '../helpers/gateway.js'
import { OwnedProcess } from '../helpers/owned-process.js'
import type { Owner } from '../helpers/scope.js'

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url))
const DEADLINE_MS = 30_000

interface Run {
  readonly env?: Record<string, string>
  readonly input?: string
}

async function run(args: string[], { env = {}, input = '' }: Run = {}) {
  const { PATH, HOME } = process.env
  const child = spawn(process.execPath, [CLI, ...args], { env: { PATH, HOME, ...env } })
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
  // A command closes its stdin once it has read enough.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  const [stdout, stderr, code] = await Promise.all([readAll(child.stdout), readAll(child.stderr), ended])
  clearTimeout(timer)
  return { stdout, stderr, code }
}

function startTail(owner: Owner, ...args: string[]) {
  const tail = new OwnedProcess({ command: process.execPath, args: [CLI, 'tail', ...args] })
  owner.teardown(() => tail.kill())
  tail.start()
  const jsonLines = () => tail.lines.filter(line => line.startsWith('{'))
  const until = (done: (lines: string[]) => boolean, what: string) => waitFor(() => done(tail.lines), DEADLINE_MS, what)
  const following = () => until(lines => lines.some(line => line.includes('following')), 'the tail to follow')
  return { tail, jsonLines, until, following }
}

// Starting processes takes most of the time, so one open gateway serves most tests. Each has users and rooms of its own.
t.jobs = 3
const { url: openUrl } = await startGateway(t)

t.test('what is published is printed by a tail that follows it, the payload as it was given', async t => {
  const { url } = await startGateway(t)
  const { tail, jsonLines, following } = startTail(t, '--user', '42', '--rooms', 'first', '--count', '3', '--url', url)
  await following()
  const data = '{"jobId":12345678901234567890,"x":1.0}'
  const published = await run(['publish', '--to', 'user:42', '--type', 'job.complete', '--data', data, '--url', url])
  t.equal(published.stderr, '')
  t.equal(published.code, 0)
  const { id, at } = JSON.parse(published.stdout)
  await run(['publish', '--to', '*', '--type', 'note', '--text', 'two\nlines'], { env: { TIDINGS_URL: url } })
  await run(['publish', '--to', 'first', '--type', 'n', '--data', '-', '--url', url], { input: '[1.50]' })
  t.equal(await tail.exited, 0, 'it ends by itself after --count events')
  const [first, second, third] = jsonLines()
  t.equal(first, `{"id":"${id}","room":"user:42","type":"job.complete","at":${at},"data":${data}}`)
  t.match(second, /"room":"\*","type":"note","at":\d+,"data":"two\\nlines"}$/)
  t.match(third, /"room":"first","type":"n","at":\d+,"data":\[1.50\]}$/)
})

t.test('many events come from a file or stdin, all or none', async t => {
  const url = openUrl
  const lines = ['{"to":"many","type":"a","data":1}', '{"to":"user:7","type":"b"}']
  const good = await run(['publish', '--from', '-', '--url', url], { input: lines.join('\n') })
  t.equal(good.code, 0)
  t.equal(JSON.parse(good.stdout).events.length, 2)
  const bad = await run(['publish', '--from', '-', '--url', url], { input: `${lines[0]}\n{"to":"many"}` })
  t.equal(bad.code, 1)
  t.match(bad.stderr, /^tidings: TIDINGS_INVALID\w+: line 2: .*nothing of this batch was published/)
  const none = await run(['publish', '--from', '/nowhere/events', '--url', url])
  t.equal(none.code, 1)
  t.match(none.stderr, /^tidings: \/nowhere\/events cannot be read: ENOENT/)
  const endless = await run(['publish', '--from', '-', '--url', url], { input: '\n'.repeat(9 * 1_048_576) })
  t.equal(endless.code, 1)
  t.match(endless.stderr, /^tidings: - is over 8388608 bytes, which is all that one request may have/)
})

t.test('the same --once publishes once', async t => {
  const url = openUrl
  const args = ['publish', '--to', 'once', '--type', 'a', '--once', 'job-7', '--url', url]
  const first = JSON.parse((await run(args)).stdout)
  const second = JSON.parse((await run(args)).stdout)
  t.same(second, { ...first, duplicate: true })
})

t.test('a tail comes back after the gateway was gone, and says that what it missed cannot be had', async t => {
  const gateway = await startGateway(t)
  const { tail, jsonLines, until, following } = startTail(t, '--user', '42', '--url', gateway.url)
  await following()
  await run(['publish', '--to', 'user:42', '--type', 'a', '--url', gateway.url])
  await until(() => jsonLines().length === 1, 'the first event')
  await gateway.kill()
  await gateway.restart()
  // The memory adapter's history ends with its process, and the tail must say so.
  await until(lines => lines.some(line => line.includes('something may be missing')), 'the loss')
  await run(['publish', '--to', 'user:42', '--type', 'b', '--url', gateway.url])
  await until(() => jsonLines().length === 2, 'the second event')
  t.match(jsonLines()[1], /"type":"b"/)
  tail.signal('SIGINT')
  t.equal(await tail.exited, 0, 'Ctrl-C is a clean end')
})

t.test('--since starts after that event, and --raw prints the wire', async t => {
  const url = openUrl
  const ids: string[] = []
  for (const type of ['a', 'b', 'c']) {
    ids.push(JSON.parse((await run(['publish', '--to', 'since', '--type', type, '--url', url])).stdout).id)
  }
  const { stdout, code } = await run([
    'tail',
    '--user',
    '1',
    '--rooms',
    'since',
    '--since',
    ids[0]!,
    '--count',
    '2',
    '--raw',
    '--quiet',
    '--url',
    url,
  ])
  t.equal(code, 0)
  t.match(stdout, /^event: stream.open\n/)
  t.ok(stdout.endsWith(`id: ${ids[1]}\nevent: b\ndata: null\n\nid: ${ids[2]}\nevent: c\ndata: null\n\n`), stdout)
})

t.test('a refusal ends a tail with its reason, and no refusal is tried again', async t => {
  const url = openUrl
  const { stderr, code } = await run(['tail', '--rooms', 'a b', '--url', url])
  t.equal(code, 1)
  t.match(stderr, /^tidings: TIDINGS_INVALID_ROOM: room 'a b' [^\n]*\n$/)
})

t.test('a key opens a gateway that asks for one, and without it the answer says so', async t => {
  const { url } = await startGateway(t, { API_KEYS: 'jobs=0123456789abcdef' })
  const args = ['publish', '--to', 'user:42', '--type', 'a', '--url', url]
  const refused = await run(args)
  t.equal(refused.code, 1)
  t.match(refused.stderr, /^tidings: TIDINGS_UNAUTHORIZED: /)
  t.equal((await run([...args, '--key', '0123456789abcdef'])).code, 0)
  t.equal((await run(args, { env: { TIDINGS_KEY: '0123456789abcdef' } })).code, 0)
})

t.test('a token made for trying out opens a stream of its user', async t => {
  const JWT_SECRET = '0123456789abcdef0123456789abcdef'
  const { url } = await startGateway(t, { JWT_SECRET })
  const made = await run(['token', '--sub', '42', '--follow', 'session:*', '--publish', 'session:1', '--ttl', '1h'], {
    env: { JWT_SECRET },
  })
  t.equal(made.code, 0)
  const key = made.stdout.trim()
  const { jsonLines, tail, following } = startTail(
    t,
    '--rooms',
    'session:1',
    '--count',
    '1',
    '--key',
    key,
    '--url',
    url,
  )
  await following()
  t.equal((await run(['publish', '--to', 'session:1', '--type', 'a', '--key', key, '--url', url])).code, 0)
  t.equal(await tail.exited, 0)
  t.match(jsonLines()[0], /"room":"session:1"/)
})

t.test(
  'check-config shows what the environment means, secrets hidden, or everything that is wrong with it',
  async t => {
    const env = { PORT: '8080', API_KEYS: 'jobs=0123456789abcdef' }
    const good = await run(['check-config'], { env })
    t.equal(good.code, 0)
    t.match(good.stdout, /^PORT +8080$/m)
    t.match(good.stdout, /^API_KEYS +\(set\)$/m)
    t.notMatch(good.stdout, /0123456789abcdef/)
    const bad = await run(['check-config'], { env: { SSE_ADAPTER: 'redis', HEARTBEAT_MS: '5' } })
    t.equal(bad.code, 1)
    t.match(bad.stderr, /HEARTBEAT_MS is '5' but must be 1000-60000/)
    const open = await run(['check-config'], { env: { HOST: '0.0.0.0' } })
    t.equal(open.code, 1)
    t.match(open.stderr, /no credentials are configured/)
  },
)

t.test('a key or password on the command line is never shown', async t => {
  const hidden: [string[], Record<string, string>, RegExp][] = [
    [['--url', 'http://me:s3cret@127.0.0.1:1'], {}, /--url holds a user or password/],
    [['--url', 's3cret'], {}, /--url must be an http/],
    [[], { TIDINGS_URL: 'redis://:s3cret@h' }, /\$TIDINGS_URL must be an http/],
    [['--key', 's3cr\u00e9t', '--url', openUrl], {}, /--key must be printable ASCII/],
    [['--url', openUrl], { TIDINGS_KEY: 's3cret\nx' }, /\$TIDINGS_KEY must be printable ASCII/],
    [['--key', 'my', 's3cret'], {}, /an argument stands without a flag/],
  ]
  for (const [args, env, expected] of hidden) {
    for (const command of [['publish', '--to', 'a', '--type', 'b'], ['tail']]) {
      const { stderr, stdout, code } = await run([...command, ...args], { env })
      t.equal(code, 2, args.join(' '))
      t.match(stderr, expected)
      t.notMatch(stderr + stdout, /s3cr/)
    }
  }
  const url = { JWKS_URL: 'https://issuer.example/keys?key=s3cret' }
  const { stdout } = await run(['check-config'], { env: url })
  t.match(stdout, /^JWKS_URL +https:\/\/issuer\.example\/keys\?\.\.\.$/m)
})

t.test('serve runs the gateway until SIGTERM, and exits 0', async t => {
  const gateway = new OwnedProcess({
    command: process.execPath,
    args: [CLI, 'serve'],
    env: { PATH: process.env.PATH, PORT: '0', DRAIN_WINDOW_MS: '0' },
  })
  t.teardown(() => gateway.kill())
  gateway.start()
  const isListening = () => gateway.lines.some(line => line.includes('gateway listening'))
  await waitFor(isListening, DEADLINE_MS, 'the gateway to listen')
  t.equal(await gateway.stop(), 0)
})

t.test('serve with a bad configuration says what is wrong and exits 1', async t => {
  const { stderr, code } = await run(['serve'], { env: { SSE_ADAPTER: 'redis' } })
  t.equal(code, 1)
  t.match(stderr, /REDIS_URL is not set but SSE_ADAPTER is 'redis'/)
})

t.test('a gateway that is not there is a failure in one line', async t => {
  const { stderr, code } = await run(['publish', '--to', 'a', '--type', 'b', '--url', 'http://127.0.0.1:9'])
  t.equal(code, 1)
  t.match(stderr, /^tidings: http:\/\/127.0.0.1:9 does not answer: [^\n]+\n$/)
})

t.test('a command line that makes no sense exits 2 and says what would', async t => {
  const cases: [args: string[], said: RegExp][] = [
    [['nope'], /no command 'nope'; there are serve, publish/],
    [['publish'], /--to is missing/],
    [['publish', '--to', 'a', '--type', 'b', '--data', '{'], /--data is no JSON/],
    [['publish', '--to', 'a', '--type', 'b', '--data', '1', '--text', 'x'], /--data and --text/],
    [['publish', '--from', '-', '--to', 'a'], /--to does not go with --from/],
    [['publish', '--to', 'a', '--type', 'b', '--url', 'ftp://x'], /--url must be an http:\/\/ or https/],
    [['tail', '--nope'], /Unknown option '--nope'/],
    [['tail', '--count', 'x'], /--count is 'x' but must be a whole number/],
    [['token', '--sub', '1'], /--secret is missing/],
    [['token', '--sub', '1', '--secret', 'x', '--ttl', '1'], /--ttl is '1' but must be a time/],
    [['plan'], /--users is missing/],
    [['plan', '--users', '5', '--bytes', '-1'], /bytes/],
  ]
  const runs = await Promise.all(cases.map(([args]) => run(args)))
  for (const [i, [args, said]] of cases.entries()) {
    t.match(runs[i], { stderr: said, stdout: '', code: 2 }, args.join(' '))
  }
})

t.test('every command has a help that exits 0', async t => {
  const overview = await run(['--help'])
  t.equal(overview.code, 0)
  const names = ['serve', 'publish', 'tail', 'token', 'ticket', 'plan', 'check-config']
  const helps = await Promise.all(names.map(name => run([name, '--help'])))
  for (const [i, name] of names.entries()) {
    t.match(overview.stdout, new RegExp(`^  ${name} `, 'm'))
    t.equal(helps[i]?.code, 0)
    t.ok(helps[i]?.stdout.startsWith(`tidings ${name}: `))
  }
  t.equal((await run([])).code, 2, 'no command at all is a mistake')
  t.match((await run(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
})
