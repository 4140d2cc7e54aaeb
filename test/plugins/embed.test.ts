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
  const { url } = await embed(t, { prefix: '/sse', with: ['health'] })
  t.equal((await post(`${url}/sse/v1/broadcast`, '{"type":"x"}')).status, 202)
  t.equal((await get(`${url}/sse/readyz`)).status, 200)
  t.equal((await get(`${url}/readyz`)).status, 404)
  const stream = await openStream(t, `${url}/sse/v1/stream`)
  t.ok(await stream.next('stream.open'))
})

t.test('groups of routes can be left out', async t => {
  const { app, url } = await embed(t, { without: ['publish'] })
  t.equal((await post(`${url}/v1/broadcast`, '{"type":"x"}')).status, 404)
  const stream = await openStream(t, `${url}/v1/stream?user=42`)
  await stream.next('stream.open')
  await app.tidings.emit('42', { type: 'x' })
  t.ok(await stream.next('x'))
})

t.test('probes and metrics are on the port of an application when it asks for them, and only then', async t => {
  const statuses = async (options: Partial<TidingsOptions>) => {
    const { url } = await embed(t, options)
    const paths = ['/livez', '/readyz', '/metrics']
    return Promise.all(paths.map(async path => (await fetch(url + path)).status))
  }
  t.same(await statuses({}), [404, 404, 404])
  t.same(await statuses({ with: ['health'] }), [200, 200, 404])
  t.same(await statuses({ with: ['metrics'] }), [404, 404, 200])
  t.same(await statuses({ with: ['health', 'metrics'] }), [200, 200, 200])
})

t.test('a group of routes that does not exist, or is asked for the wrong way, is refused by its name', async t => {
  for (const [options, message] of [
    [{ without: ['health'] }, /^without names 'health' but its groups are stream, publish, access$/],
    [{ with: ['stream'] }, /^with names 'stream' but its groups are health, metrics$/],
  ] as const) {
    const app = Fastify()
    // Safe: a program without types can pass this.
    await t.rejects(async () => await app.register(tidings, options as never), {
      code: 'TIDINGS_INVALID_CONFIG',
      message,
    })
    await app.close()
  }
})

t.test('a bad option is refused by its name when the plugin is registered', async t => {
  const app = Fastify()
  // Safe: a program without types can pass this.
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

t.test('an application is asked about every request, whatever credentials of its own that brings', async t => {
  const seen: unknown[] = []
  const { url } = await embed(t, {
    authenticate: ({ headers }) => {
      seen.push(headers.authorization ?? headers['x-api-key'] ?? headers['x-session'])
      return { userId: '42', publish: ['*'] }
    },
  })
  for (const headers of [
    { authorization: 'Basic cm9vdDpyb290' },
    { authorization: 'Session 7 of 9' },
    { authorization: '' },
    { 'x-api-key': '' },
    { 'x-session': 'abc' },
  ]) {
    const type = { 'content-type': 'application/json' }
    t.equal((await post(`${url}/v1/rooms/hub/events`, '{"type":"a"}', { ...type, ...headers })).status, 202)
    const stream = await openStream(t, `${url}/v1/stream?token=of-its-own`, { headers })
    t.equal(stream.status, 200)
    stream.close()
  }
  t.equal(seen.length, 10)
  t.same(seen.slice(0, 2), ['Basic cm9vdDpyb290', 'Basic cm9vdDpyb290'])
  t.equal((await get(`${url}/v1/stream?ticket=`)).status, 401, 'only tickets are ours')
  t.equal(seen.length, 10, 'and the application is not asked about those')
})

t.test('what a browser adds by itself publishes nothing for a page of another origin', async t => {
  const { url } = await embed(t, {
    corsOrigins: ['https://app.example'],
    authenticate: ({ headers }) =>
      headers.cookie || headers.authorization || headers['x-api-key'] || headers['x-session']
        ? { userId: '42', publish: ['*'], follow: ['*'] }
        : null,
  })
  const publish = async (headers: Record<string, string>) => {
    const all = { 'content-type': 'application/json', ...headers }
    const { status, body } = await post(`${url}/v1/rooms/hub/events`, '{"type":"a"}', all)
    return status === 403 ? body.code : status
  }
  const cookie = { cookie: 'sid=1' }
  const basic = { authorization: 'Basic cm9vdDpyb290' }
  const evil = { origin: 'https://evil.example' }
  const forged = 'TIDINGS_ORIGIN_FORBIDDEN'
  for (const [headers, expected] of [
    [{ ...cookie, ...evil }, forged],
    [{ ...cookie, origin: 'null' }, forged],
    [{ ...cookie, origin: `${url}1` }, forged],
    [{ ...cookie, 'sec-fetch-site': 'cross-site' }, forged],
    [{ ...cookie, 'sec-fetch-site': 'same-site' }, forged],
    [{ ...basic, ...evil }, forged],
    [{ ...cookie, ...basic, 'sec-fetch-site': 'cross-site' }, forged],
    [{ ...cookie, origin: 'https://app.example' }, 202],
    [{ ...cookie, origin: 'https://app.example', 'sec-fetch-site': 'cross-site' }, 202],
    [{ ...cookie, origin: url, 'sec-fetch-site': 'same-origin' }, 202],
    [{ ...cookie, 'sec-fetch-site': 'same-origin' }, 202],
    [{ ...cookie, 'sec-fetch-site': 'none' }, 202],
    [cookie, 202],
    [basic, 202],
    [{ ...cookie, ...evil, authorization: 'Bearer x' }, 202],
    [{ ...cookie, ...evil, 'x-api-key': 'x' }, 202],
    [{ ...evil, 'x-session': 'x' }, 202],
  ] as const) {
    t.equal(await publish(headers), expected, JSON.stringify(headers))
  }
  for (const path of ['/v1/users/42/connections', '/v1/connections/1']) {
    const answer = await fetch(url + path, { method: 'DELETE', headers: { ...cookie, ...evil } })
    t.match(await answer.json(), { code: forged }, path)
  }
})
