import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { VARIABLES } from '../../src/config/check.js'
import { ConfigSchema } from '../../src/config/config.js'
import { type Gateway, startGateway } from '../helpers/gateway.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const read = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8')

const API_KEY = 'contract-0123456789abcdef'
const KNOWN = new Set(VARIABLES.map(({ env }) => env))

t.test('every environment variable that the chart sets is one that the gateway reads', async t => {
  const names = [
    ...matches(read('helm/templates/_env.tpl'), /"([A-Z][A-Z_]+)" /g),
    ...matches(read('helm/templates/secret.yaml'), /^ {2}([A-Z][A-Z_]+):/gm),
  ]
  t.ok(names.length > 25, `${names.length} were found`)
  for (const name of names) t.ok(KNOWN.has(name), name)
})

t.test('every environment variable that image and compose file set is one that the gateway reads', async t => {
  const image = matches(read('Dockerfile'), /^ENV (.+)$/gm).flatMap(line => matches(line, /([A-Z_]+)=/g))
  const block = /environment:\n((?: {4}[A-Z_]+: .+\n)+)/.exec(read('compose.yaml'))?.[1] ?? ''
  const names = [...image.filter(name => name !== 'NODE_ENV'), ...matches(block, /^ {4}([A-Z_]+):/gm)]
  t.ok(names.includes('PORT') && names.includes('REDIS_URL'))
  for (const name of names) t.ok(KNOWN.has(name), name)
})

t.test('every variable of the gateway can be set through the chart', async t => {
  const chart = read('helm/templates/_env.tpl') + read('helm/templates/secret.yaml')
  // `AUTH=none` declares that there are no credentials: a cluster always has some.
  for (const { env } of VARIABLES) if (env !== 'AUTH') t.match(chart, new RegExp(`\\b${env}\\b`), env)
})

t.test("the chart's limits are the gateway's", async t => {
  const schema: unknown = JSON.parse(read('helm/values.schema.json'))
  const inChart = at(schema, 'properties', 'config', 'properties')
  let compared = 0
  for (const { name } of VARIABLES) {
    const { minimum, maximum } = ConfigSchema.properties[name]
    const chart = at(inChart, name)
    if (minimum === undefined || chart === undefined) continue
    compared++
    t.equal(at(chart, 'minimum'), minimum, `least ${name}`)
    t.equal(at(chart, 'maximum'), maximum, `greatest ${name}`)
  }
  t.ok(compared > 10, `${compared} were compared`)
})

t.test("the chart's defaults are the gateway's, but for what a cluster needs otherwise", async t => {
  const values = /^config:\n((?: {2}.+\n)+)/m.exec(read('helm/values.yaml'))?.[1] ?? ''
  const otherwise = new Set(['host', 'adapter'])
  for (const { name, default: value } of VARIABLES) {
    const text = new RegExp(`^ {2}${name}: (.+)$`, 'm').exec(values)?.[1]
    if (text === undefined || value === undefined || otherwise.has(name)) continue
    t.equal(text.replaceAll(/['"]/g, ''), Array.isArray(value) ? '[]' : String(value), name)
  }
})

t.test('every alert has its chapter in the runbook, and every chapter its alert', async t => {
  const alerts = matches(read('helm/templates/prometheusrule.yaml'), /- alert: (\w+)/g)
  t.ok(alerts.length > 0)
  t.same(matches(read('docs/operations.md'), /^### (Tidings\w+)/gm), alerts)
  const anchors = matches(read('helm/templates/prometheusrule.yaml'), /runbook: docs\/operations\.md#(\w+)/g)
  t.same(
    anchors,
    alerts.map(alert => alert.toLowerCase()),
  )
})

t.test('a live gateway', async t => {
  const gateway = await startGateway(t, { API_KEYS: `contract=${API_KEY}`, ADMIN_PORT: '0' })
  const answer = await fetch(`${gateway.adminUrl}/metrics`)
  const text = await answer.text()
  t.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)

  t.test('has every metric that dashboard, alerts and autoscalers name, with the labels they select', async t => {
    const live = new Set(matches(text, /^([a-z0-9_]+)[ {]/gm))
    for (const expression of expressions()) {
      for (const name of matches(expression, /\b((?:tidings|nodejs|process)_[a-z0-9_]+)/g)) t.ok(live.has(name), name)
      for (const [, metric, label, values] of expression.matchAll(
        /(tidings_\w+)\{[^}]*\b(reason|outcome|route)=~?"([^"]+)"/g,
      )) {
        for (const value of values!.split('|')) t.match(text, `${metric}{${label}="${value}"}`, `${metric} ${value}`)
      }
    }
  })

  t.test('has the metrics of the operations page and no others of its own', async t => {
    const documented = matches(read('docs/operations.md'), /^\| `(tidings_[a-z_]+)` +\|/gm)
    t.same(matches(text, /^# TYPE (tidings_[a-z_]+) /gm).sort(), documented.sort())
  })

  t.test('has labels of closed sets only', async t => {
    const labels = new Set(matches(text, /^tidings_[a-z_]+\{([a-z]+)=/gm))
    t.same([...labels].sort(), ['le', 'outcome', 'reason', 'route', 'version'])
  })

  t.test('answers on every path that the chart probes', async t => {
    const deployment = read('helm/templates/deployment.yaml')
    const paths = matches(deployment, /"path" "([^"]+)"/g)
    t.same([...new Set(paths)].sort(), ['/livez', '/readyz'])
    for (const path of paths) t.equal((await fetch(`${gateway.adminUrl}${path}`)).status, 200, path)
  })

  t.test('shows probes and metrics on the admin port only', async t => {
    for (const path of ['/metrics', '/livez', '/readyz']) {
      t.equal((await fetch(`${gateway.url}${path}`)).status, 404, path)
    }
  })

  t.test('passes what `helm test` runs', async t => {
    t.match(await smoke(gateway, { API_KEYS: `contract=${API_KEY}|*` }), 'one event made the whole way')
  })

  t.test('fails what `helm test` runs with a key that it does not know', async t => {
    const failure = await smoke(gateway, { API_KEYS: 'contract=another-0123456789abcdef' }).catch(String)
    t.match(failure, 'POST /v1/tickets answers 401')
  })

  t.test("is healthy in the eyes of the image's HEALTHCHECK, and is not once it is gone", async t => {
    const check = (env: Record<string, string>) => run('scripts/healthcheck.mjs', env)
    await check({ ADMIN_PORT: new URL(gateway.adminUrl).port, PORT: `${gateway.port}` })
    await gateway.kill()
    await t.rejects(check({ ADMIN_PORT: new URL(gateway.adminUrl).port }), { code: 1 })
  })
})

t.test('publishes are counted by the door they came through, and by why they failed', async t => {
  const gateway = await startGateway(t, {})
  const post = (path: string, body: unknown) =>
    fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const event = { type: 'tick', data: 1 }
  await post('/v1/users/1/events', event)
  await post('/v1/users/1/events', { ...event, key: 'once' })
  await post('/v1/users/1/events', { ...event, key: 'once' })
  await post('/v1/rooms/hub/events', event)
  await post('/v1/broadcast', event)
  await post('/v1/events', [
    { to: 'hub', ...event },
    { to: 'user:1', ...event },
    { to: '*', ...event },
  ])
  await post('/v1/broadcast', { type: '' })
  const text = await (await fetch(`${gateway.url}/metrics`)).text()
  const counts = { user: 2, room: 1, broadcast: 1, batch: 3, embedded: 0 }
  for (const [route, count] of Object.entries(counts)) {
    t.match(text, `tidings_events_published_total{route="${route}"} ${count}\n`)
  }
  t.match(text, 'tidings_publish_failures_total{reason="invalid"} 1\n')
  t.match(text, 'tidings_publish_duration_seconds_count 7\n')
  t.match(text, 'tidings_events_received_total 7\n')
})

function expressions(): string[] {
  const dashboard: unknown = JSON.parse(read('helm/dashboards/tidings.json'))
  const panels = at(dashboard, 'panels')
  if (!Array.isArray(panels)) throw new Error('the dashboard has no panels')
  const targets: unknown[] = panels.flatMap(panel => at(panel, 'targets') ?? [])
  const rules = read('helm/templates/prometheusrule.yaml').replaceAll(/\{ \{\{- \$sel -\}\} /g, '{')
  return [
    ...targets.map(target => String(at(target, 'expr'))),
    ...rules.split('- alert:').slice(1),
    ...matches(read('helm/templates/autoscaling.yaml'), /\b(tidings_[a-z_]+)/g),
  ]
}

function smoke(gateway: Gateway, env: Record<string, string>): Promise<string> {
  return run('helm/files/smoke.mjs', { ...env, TIDINGS_URL: gateway.url, TIDINGS_ADMIN_URL: gateway.adminUrl })
}

async function run(script: string, env: Record<string, string>): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [`${ROOT}${script}`], { env, timeout: 40_000 })
  return stdout
}

function at(value: unknown, ...path: string[]): unknown {
  let found = value
  for (const name of path) {
    if (typeof found !== 'object' || found === null) return undefined
    // Safe: every member of an object is `unknown`.
    found = (found as Record<string, unknown>)[name]
  }
  return found
}

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(match => match[1]!)
}
