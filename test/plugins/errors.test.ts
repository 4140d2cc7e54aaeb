import Fastify from 'fastify'
import t from 'tap'
import errorsPlugin from '../../plugins/errors.js'
import { Unauthorized } from '../../src/errors.js'

t.test('every 401 says how to authenticate, wherever in a route it is thrown', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(errorsPlugin)
  app.get('/handler', async () => {
    throw new Unauthorized('no')
  })
  app.get('/hook', { onRequest: async () => Promise.reject(new Unauthorized('no')) }, async () => 'never')
  for (const url of ['/handler', '/hook']) {
    const { statusCode, headers } = await app.inject(url)
    t.equal(statusCode, 401)
    t.equal(headers['www-authenticate'], 'Bearer realm="tidings"', url)
  }
})
