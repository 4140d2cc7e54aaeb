import t from 'tap'
import { startApp } from '../helpers/app.js'

const get = async (url: string) => {
  const response = await fetch(url)
  return { status: response.status, cache: response.headers.get('cache-control'), body: await response.json() }
}

t.test('a gateway with the memory bus is alive and ready', async t => {
  const { url } = await startApp(t)
  t.match(await get(`${url}/livez`), { status: 200, body: { status: 'ok' } })
  t.same(await get(`${url}/readyz`), {
    status: 200,
    cache: 'no-store',
    body: { status: 'ok', reason: null, busLagMs: 0 },
  })
})

t.test('from the announcement of a shutdown on it is not ready, and still alive and serving', async t => {
  const { app, url } = await startApp(t)
  app.tidings.announceShutdown()
  t.match(await get(`${url}/readyz`), { status: 503, body: { status: 'draining', reason: 'shutting down' } })
  t.equal((await get(`${url}/livez`)).status, 200)
  t.ok((await app.tidings.emit('42', { type: 'x' })).id)
})
