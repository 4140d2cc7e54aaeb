import t from 'tap'
import { readConfig } from '../../src/config/check.js'
import { startApp } from '../helpers/app.js'

interface Operation {
  summary?: string
  tags?: string[]
  responses: Record<string, { description: string }>
}

t.test('/openapi.json describes every route with a summary, a tag and its answers', async t => {
  const { url } = await startApp(t)
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as {
    openapi: string
    paths: Record<string, Record<string, Operation>>
  }
  t.equal(document.openapi, '3.1.0')
  const paths = [
    '/v1/stream',
    '/v1/users/{userId}/events',
    '/v1/broadcast',
    '/v1/rooms/{room}/events',
    '/v1/events',
    '/livez',
    '/readyz',
  ]
  for (const path of paths) t.ok(document.paths[path], path)
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, { summary, tags, responses }] of Object.entries(operations)) {
      t.ok(summary && tags?.length, `${method} ${path} says what it does`)
      t.ok(
        Object.keys(responses).some(status => status.startsWith('2')),
        `${method} ${path} says what it answers`,
      )
    }
  }
  for (const path of paths.slice(1, 5)) {
    t.strictSame(
      Object.keys(document.paths[path]!.post!.responses).filter(status =>
        ['202', '400', '403', '413', '415', '503'].includes(status),
      ),
      ['202', '400', '403', '413', '415', '503'],
      path,
    )
  }
})

t.test('/docs is a page', async t => {
  const { url } = await startApp(t)
  const response = await fetch(`${url}/docs`)
  t.equal(response.status, 200)
  t.match(response.headers.get('content-type'), /text\/html/)
  t.match(await response.text(), /<html/i)
})

t.test('the page and the document say what may run, and that they are what they say', async t => {
  const { url } = await startApp(t)
  for (const path of [
    '/docs',
    '/docs/',
    '/docs/static/swagger-ui-bundle.js',
    '/docs/static/index.html',
    '/openapi.json',
  ]) {
    const { status, headers } = await fetch(url + path)
    t.equal(status, 200, path)
    t.equal(headers.get('x-content-type-options'), 'nosniff', path)
    const policy = headers.get('content-security-policy')
    t.match(policy, /^default-src 'none'; .*frame-ancestors 'none'/, path)
    t.notMatch(policy, /script-src[^;]*unsafe|https:|\*/, path)
  }
  const { headers } = await fetch(`${url}/livez`)
  t.equal(headers.get('content-security-policy'), null, 'other routes are as they were')
})

t.test('DOCS=false leaves page and document out', async t => {
  const { url } = await startApp(t, readConfig({ DOCS: 'false', LOG_LEVEL: 'silent', DRAIN_WINDOW_MS: '0' }))
  for (const path of ['/docs', '/docs/', '/docs/json', '/docs/static/swagger-ui-bundle.js', '/openapi.json']) {
    const response = await fetch(url + path)
    t.equal(response.status, 404, path)
    t.match(await response.json(), { code: 'TIDINGS_NOT_FOUND', message: /^no route GET [^;]+$/ })
  }
  t.equal((await fetch(`${url}/livez`)).status, 200)
  t.equal(readConfig({ DOCS: 'true' }).docs, true)
  t.throws(() => readConfig({ DOCS: 'no' }), { message: "DOCS is 'no' but must be true or false" })
})
