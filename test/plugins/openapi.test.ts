import t from 'tap'
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
