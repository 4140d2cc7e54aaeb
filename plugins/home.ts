import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

const PAGE = readFileSync(new URL('home.html', import.meta.url), 'utf8')

// Only the page's own script and style run, and they may connect only to this gateway.
const POLICY = [
  "default-src 'none'",
  `script-src ${hashesOf('script')}`,
  `style-src ${hashesOf('style')}`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

// The page at /: watch events arrive, publish some. Only an open gateway has it, where every visitor may follow and publish.
async function home(app: FastifyInstance): Promise<void> {
  app.get('/', { schema: { hide: true } }, async (_, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', POLICY)
      .header('referrer-policy', 'no-referrer')
      .header('x-content-type-options', 'nosniff')
      .header('cache-control', 'no-cache')
      .send(PAGE),
  )
}

function hashesOf(tag: 'script' | 'style'): string {
  const contents = [...PAGE.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, 'gs'))].map(match => match[1]!)
  return contents.map(content => `'sha256-${createHash('sha256').update(content).digest('base64')}'`).join(' ')
}

export default fp(home, { name: 'tidings-home', fastify: '5.x', encapsulate: true })
