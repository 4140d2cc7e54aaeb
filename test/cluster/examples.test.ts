import { fileURLToPath } from 'node:url'
import t from 'tap'
import { waitFor } from '../helpers/deadline.js'
import { OwnedProcess } from '../helpers/owned-process.js'
import { freePort } from '../helpers/ports.js'
import { startRedis } from '../helpers/redis.js'
import type { Owner } from '../helpers/scope.js'
import { openStream } from '../helpers/sse.js'

const DEADLINE_MS = 20_000

function startExample(owner: Owner, name: string, args: string[], env: Record<string, string>) {
  const file = fileURLToPath(new URL(`../../examples/${name}.js`, import.meta.url))
  const example = new OwnedProcess({
    command: process.execPath,
    args: [file, ...args],
    env: { PATH: process.env.PATH, ...env },
  })
  owner.teardown(() => example.kill())
  example.start()
  return example
}

t.test('examples: a worker and an application with Tidings in it reach the same user', async t => {
  const redis = await startRedis(t)
  const port = await freePort()
  const app = startExample(t, 'embed', [], { REDIS_URL: redis.url, PORT: `${port}` })
  await waitFor(() => app.lines.some(line => line.startsWith('listening')), DEADLINE_MS, 'the application to listen')
  const url = `http://127.0.0.1:${port}`

  const login = await fetch(`${url}/login/ada`, { method: 'POST' })
  const cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  t.equal(cookie, 'name=ada')
  const refused = await fetch(`${url}/live/v1/stream`, { headers: { accept: 'text/event-stream' } })
  t.equal(refused.status, 401, 'who is not logged in gets no stream')
  const forbidden = `${url}/live/v1/stream?rooms=session:1`
  t.equal((await fetch(forbidden, { headers: { cookie, accept: 'text/event-stream' } })).status, 403)

  const stream = await openStream(t, `${url}/live/v1/stream?rooms=project:7`, { headers: { cookie } })
  await stream.next('stream.open')
  const worker = () => startExample(t, 'worker', ['ada', 'report-7'], { REDIS_URL: redis.url })
  const first = worker()
  t.equal(await first.exited, 0)
  const complete = await stream.next('job.complete', DEADLINE_MS)
  t.same(complete, { id: first.lines.at(-1), type: 'job.complete', data: '{"jobId":"report-7"}' })
  const again = worker()
  t.equal(await again.exited, 0)
  t.equal(again.lines.at(-1), first.lines.at(-1), 'a second run tells it once')

  await fetch(`${url}/jobs`, { method: 'POST', headers: { cookie } })
  const own = await stream.next('job.complete', DEADLINE_MS)
  t.not(own.data, complete.data)
  t.match((await stream.next('note', DEADLINE_MS)).data, /^ada finished /)
  t.equal(await app.stop(), 0)
})
