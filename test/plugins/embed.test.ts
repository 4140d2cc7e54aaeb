import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { type TidingsOptions, tidings } from '../../src/app.js'
import { listen, post } from '../helpers/app.js'
import { openStream } from '../helpers/sse.js'

async function embed(t: Test, options: Partial<TidingsOptions> = {}) {
  const app = Fastify()
  app.setErrorHandler((error, _, reply) => reply.code(418).send({ own: String(error) }))
  app.setNotFoundHandler((_, reply) => reply.code(404).send({ own: 'not found' }))
  await app.register(tidings, options)
  app.get('/own', async () => ({ hello: 'world' }))
  app.get('/fails', async () => {
    throw new Error('mine')
  })
  app.post('/echo', async request => request.body)
  return listen(t, app)
}
const get = async (url: string) => {
  const response = await fetch(url)
  return { status: response.status, body: await response.json() }
}

t.test('an application publishes through app.tidings, and its readers get it', async t => {
  const { app, url } = await embed(t)
  const stream = await openStream(t, `${url}/v1/stream?user=42&rooms=hub`)
  await stream.next('stream.open')
  const published = await app.tidings.emit('42', { type: 'a', data: { n: 1 } })
  t.match(published, { id: /-1$/, room: 'user:42', at: Number })
  await app.tidings.broadcast({ type: 'b', data: 'text' })
  await app.tidings.publish('hub', { type: 'c' })
  await app.tidings.publishMany([{ to: 'hub', type: 'd', data: [] }])
  for (const expected of ['a {"n":1}', 'b text', 'c null', 'd []']) {
    const { type, data } = await stream.next()
    t.equal(`${type} ${data}`, expected)
  }
})

t.test("the application's own routes, errors and bodies stay its own", async t => {
  const { url } = await embed(t)
  t.same(await get(`${url}/own`), { status: 200, body: { hello: 'world' } })
  t.same(await get(`${url}/own?user=a%20b`), { status: 200, body: { hello: 'world' } }, 'a user parameter of its own')
  t.same(await get(`${url}/fails`), { status: 418, body: { own: 'Error: mine' } })
  t.same(await get(`${url}/nowhere`), { status: 404, body: { own: 'not found' } })
  t.match(await post(`${url}/echo`, '{"a":1}'), { status: 200, body: { a: 1 } })
  t.match(await post(`${url}/echo`, '{bad'), { status: 418 })
})

t.test('errors of Tidings routes carry their codes, whatever handler the application has', async t => {
  const { url } = await embed(t)
  t.match(await post(`${url}/v1/broadcast`, 'x', { 'content-type': 'text/plain' }), {
    status: 415,
    body: { code: 'TIDINGS_UNSUPPORTED_MEDIA_TYPE' },
  })
  t.match(await post(`${url}/v1/broadcast`, '{"type":""}'), { status: 400, body: { code: 'TIDINGS_INVALID_TYPE' } })
  t.match(await get(`${url}/v1/stream?rooms=a%20b`), { status: 400, body: { code: 'TIDINGS_INVALID_ROOM' } })
})

t.test('a prefix stands before every route', async t => {
  const { url } = await embed(t, { prefix: '/sse' })
  t.equal((await post(`${url}/sse/v1/broadcast`, '{"type":"x"}')).status, 202)
  t.equal((await get(`${url}/sse/readyz`)).status, 200)
  t.equal((await get(`${url}/readyz`)).status, 404)
  const stream = await openStream(t, `${url}/sse/v1/stream`)
  t.ok(await stream.next('stream.open'))
})

t.test('groups of routes can be left out', async t => {
  const { app, url } = await embed(t, { without: ['publish', 'health'] })
  t.equal((await post(`${url}/v1/broadcast`, '{"type":"x"}')).status, 404)
  t.equal((await get(`${url}/readyz`)).status, 404)
  const stream = await openStream(t, `${url}/v1/stream?user=42`)
  await stream.next('stream.open')
  await app.tidings.emit('42', { type: 'x' })
  t.ok(await stream.next('x'))
})

t.test('a bad option is refused by its name when the plugin is registered', async t => {
  const app = Fastify()
  // Safe: what a program without types would pass.
  const options = { heartbeatMs: 5, adapter: 'redis', nonsense: true, constructor: 1 } as never
  await t.rejects(async () => await app.register(tidings, options), {
    code: 'TIDINGS_INVALID_CONFIG',
    message:
      /nonsense is not an option[\s\S]*constructor is not an option[\s\S]*heartbeatMs is '5' but must be 1000-60000/,
  })
  await app.close()
})

t.test('the application closes while streams are open, and its own close hooks still run', async t => {
  const app = Fastify()
  await app.register(tidings)
  let ran = false
  app.addHook('onClose', async () => {
    ran = true
  })
  const { url } = await listen(t, app)
  const streams = await Promise.all([1, 2, 3].map(n => openStream(t, `${url}/v1/stream?user=${n}`)))
  for (const stream of streams) await stream.next('stream.open')
  const startedAt = performance.now()
  await app.close()
  t.ok(performance.now() - startedAt < 5_000)
  t.ok(ran)
  for (const stream of streams) t.equal(await stream.ended, 'end')
})
