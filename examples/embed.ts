// An application with Tidings inside: it keeps its own users, routes and server, and gets streams.
//   node dist/examples/embed.js              one process
//   REDIS_URL=redis://127.0.0.1:6379 ...     many processes, and workers beside them (examples/worker.ts)
import { readFileSync } from 'node:fs'
import Fastify, { type FastifyRequest } from 'fastify'
import { tidings } from 'tidings'

const PAGE = readFileSync(new URL('page.html', import.meta.url), 'utf8')
const { REDIS_URL, PORT = '4000' } = process.env

const app = Fastify({ logger: { level: 'warn' }, forceCloseConnections: true })

await app.register(tidings, {
  ...(REDIS_URL ? { adapter: 'redis', redisUrl: REDIS_URL } : {}),
  prefix: '/live',
  // Only this application's own code publishes; clients only read.
  without: ['publish'],
  authenticate: request => {
    const name = nameOf(request)
    return name === undefined ? null : { userId: name, follow: ['project:*'] }
  },
})

app.get('/', async (_, reply) => reply.type('text/html').send(PAGE))

// Stands in for a real login: a visitor who types a name is that user.
app.post<{ Params: { name: string } }>('/login/:name', async ({ params }, reply) =>
  reply.header('set-cookie', `name=${encodeURIComponent(params.name)}; Path=/; HttpOnly; SameSite=Strict`).send({}),
)

app.post('/jobs', async (request, reply) => {
  const name = nameOf(request)
  if (name === undefined) return reply.code(401).send({ message: 'log in first' })
  const jobId = Date.now().toString(36)
  void work(name, jobId).catch(error => app.log.error(error))
  return reply.code(202).send({ jobId })
})

/** Reaches every tab of this user, on every replica. */
async function work(name: string, jobId: string): Promise<void> {
  for (const percent of [25, 50, 75]) {
    // Only the newest progress matters, so it takes no history.
    await app.tidings.emit(name, { type: 'job.progress', data: { jobId, percent }, ephemeral: true })
    await new Promise(resolve => setTimeout(resolve, 300))
  }
  await app.tidings.emit(name, { type: 'job.complete', data: { jobId } })
  await app.tidings.publish('project:7', { type: 'note', data: `${name} finished ${jobId}` })
}

function nameOf(request: FastifyRequest): string | undefined {
  const value = /(?:^|; )name=([^;]+)/.exec(request.headers.cookie ?? '')?.[1]
  return value === undefined ? undefined : decodeURIComponent(value)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close())
console.log(`listening on ${await app.listen({ host: '127.0.0.1', port: Number(PORT) })}`)
