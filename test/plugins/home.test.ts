import { createHash } from 'node:crypto'
import t from 'tap'
import { buildApp } from '../../src/app.js'
import { readConfig } from '../../src/config/check.js'
import type { Owner } from '../helpers/scope.js'

const appOf = async (t: Owner, env: Record<string, string>) => {
  const app = await buildApp(readConfig({ LOG_LEVEL: 'silent', ...env }))
  t.teardown(() => app.close())
  return app
}

t.test('an open gateway shows the first-sight page at /', async t => {
  const app = await appOf(t, {})
  const answer = await app.inject('/')
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers['content-type'], 'text/html; charset=utf-8')
  t.equal(answer.headers['x-content-type-options'], 'nosniff')
  t.equal(answer.headers['referrer-policy'], 'no-referrer')
})

t.test('the page loads nothing from elsewhere, and its policy lets only its own script and style run', async t => {
  const app = await appOf(t, {})
  const { body, headers } = await app.inject('/')
  const policy = String(headers['content-security-policy'])
  t.match(policy, /^default-src 'none'; /)
  t.notMatch(policy, /unsafe/)
  for (const tag of ['script', 'style']) {
    const blocks = [...body.matchAll(new RegExp(`<${tag}[^>]*>([^]*?)</${tag}>`, 'g'))].map(match => match[1]!)
    t.equal(blocks.length, 1, `there is one <${tag}>`)
    const hash = createHash('sha256').update(blocks[0]!).digest('base64')
    t.ok(policy.includes(`${tag}-src 'sha256-${hash}'`), `and the policy names it`)
  }
  t.notMatch(body, / (src|style|on[a-z]+)=/, 'nothing that the policy would block')
  t.notMatch(body.replaceAll('http://www.w3.org/2000/svg', ''), /(href|url\()=?["']?(https?:)?\/\//)
})

t.test('with credentials configured there is no page: nobody could use it', async t => {
  const app = await appOf(t, { API_KEYS: 'jobs=0123456789abcdef' })
  const answer = await app.inject('/')
  t.not(answer.statusCode, 200)
  t.match(answer.json().code, /^TIDINGS_/)
})
