// Renders the chart with the real helm over a matrix of values, checks every document by the schemas of Kubernetes and the operators,
// shows that bad values are refused, and lints the Dockerfile. `--write` renews the table in the chart's README.
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const chart = `${root}helm`
execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
  cwd: `${root}scripts/chart`,
  stdio: ['ignore', 'ignore', 'inherit'],
})

const { parseAllDocuments } = await import('yaml')
const { findContradictions } = await import('./invariants.mjs')
const { findPromqlErrors } = await import('./promql.mjs')
const { bad, good } = await import('./matrix.mjs')
const { findUndescribed, withValuesTable } = await import('./readme.mjs')
const { findComposeErrors, loadSchemas } = await import('./schemas.mjs')
const { buildHelm, fetchModules, hasGo, installHadolint, MODULES, renderChart } = await import('./tools.mjs')

let passed = 0
let failed = 0

if (process.argv.includes('--write')) {
  writeFileSync(`${chart}/README.md`, withValuesTable(chart))
  spawnSync('npx', ['biome', 'format', '--write', 'helm/README.md'], { cwd: root })
}
report('every value is described', findUndescribed(chart))
report(
  "the README's table of values is up to date (check.mjs --write renews it)",
  isSameText(withValuesTable(chart), readFileSync(`${chart}/README.md`, 'utf8')) ? [] : ['helm/README.md differs'],
)
report('every panel asks PromQL', panelExpressions().flatMap(findPromqlErrors))
simulateScaling()
lintDockerfile()
if (hasGo()) checkRendering()
else console.log('SKIPPED: there is no Go toolchain to build helm with, so the chart was not rendered')

console.log(`chart: ${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

function checkRendering() {
  const helm = buildHelm()
  const modules = fetchModules()
  const releases = Object.keys(MODULES).filter(name => name.startsWith('kubernetes '))
  const schemas = releases.map(name => ({ name, validate: loadSchemas(modules[name], modules) }))
  report('an unknown field is found by the schemas', schemas.flatMap(provesStrict))
  const compose = readFileSync(`${root}compose.yaml`, 'utf8')
  report('compose.yaml is what Compose understands', findComposeErrors(compose, modules.compose))
  const misspelt = findComposeErrors(compose.replace('read_only:', 'readonly:'), modules.compose)
  report('a misspelt line of compose.yaml is found', misspelt.length > 0 ? [] : ['it was not'])

  const lint = spawnSync(
    helm,
    ['lint', chart, '--strict', '--kube-version', '1.36.0', ...good['the fewest values'].flat()],
    { encoding: 'utf8' },
  )
  report('helm lint --strict', lint.status === 0 ? [] : [lint.stdout + lint.stderr])

  for (const [name, values] of Object.entries(good)) {
    const { status, stdout, stderr } = renderChart(helm, chart, { values })
    report(`${name} gives valid documents`, status === 0 ? examine(stdout, schemas) : [stderr])
  }
  for (const [name, values, message, kubeVersion] of bad) {
    const { status, stderr } = renderChart(helm, chart, { values, ...(kubeVersion && { kubeVersion }) })
    const wrong =
      status === 0
        ? ['it was rendered']
        : stderr.includes(message)
          ? []
          : [`the message is ${stderr.trim()}, not '${message}'`]
    report(`${name} is refused: ${message}`, wrong)
  }
}

function examine(text, schemas) {
  const parsed = parseAllDocuments(text)
  const wrong = parsed.flatMap(({ errors }) => errors.map(String))
  const documents = parsed.map(document => document.toJS()).filter(document => document !== null)
  for (const document of documents) {
    for (const { name, validate } of schemas) {
      for (const error of validate(document)) wrong.push(`${name}: ${document.kind}/${document.metadata.name}${error}`)
    }
  }
  const rules = documents.filter(({ kind }) => kind === 'PrometheusRule').flatMap(({ spec }) => spec.groups)
  for (const { expr } of rules.flatMap(group => group.rules)) wrong.push(...findPromqlErrors(expr))
  for (const { spec } of documents.filter(({ kind }) => kind === 'ScaledObject')) {
    for (const { metadata } of spec.triggers) if (metadata.query) wrong.push(...findPromqlErrors(metadata.query))
  }
  return [...wrong, ...findContradictions(documents)]
}

function provesStrict({ name, validate }) {
  const wrong = []
  const kinds = [
    ['apps/v1', 'Deployment'],
    ['monitoring.coreos.com/v1', 'ServiceMonitor'],
    ['monitoring.coreos.com/v1', 'PrometheusRule'],
    ['gateway.networking.k8s.io/v1', 'HTTPRoute'],
    ['keda.sh/v1alpha1', 'ScaledObject'],
  ]
  for (const [apiVersion, kind] of kinds) {
    const errors = validate({ apiVersion, kind, metadata: { name: 'x', nmae: 'x' }, spec: { nosuchfield: 1 } }).join(
      '\n',
    )
    if (!errors.includes('nosuchfield') || !errors.includes('nmae'))
      wrong.push(`${name} takes a ${kind} with unknown fields`)
  }
  return wrong
}

function simulateScaling() {
  const picture = `${root}docs/hpa-simulation.svg`
  const before = readFileSync(picture, 'utf8')
  const { status, stdout } = spawnSync(process.execPath, [`${root}scripts/hpa-simulation.mjs`], { encoding: 'utf8' })
  report('a simulated day turns no stream away', status === 0 ? [] : [stdout])
  report("the operations page's picture is that day", before === readFileSync(picture, 'utf8') ? [] : [picture])
}

function lintDockerfile() {
  const hadolint = installHadolint()
  if (hadolint === undefined)
    return console.log('SKIPPED: no Python to install hadolint with, so the Dockerfile was not linted')
  const { status, stdout } = spawnSync(hadolint, ['--failure-threshold', 'info', `${root}Dockerfile`], {
    encoding: 'utf8',
  })
  report('hadolint finds nothing in the Dockerfile', status === 0 ? [] : [stdout])
}

function panelExpressions() {
  const { panels } = JSON.parse(readFileSync(`${chart}/dashboards/tidings.json`, 'utf8'))
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
}

/** The formatter pads the columns of tables. */
function isSameText(a, b) {
  const unpadded = text => text.replaceAll(/ +/g, ' ').replaceAll(/-{3,}/g, '---')
  return unpadded(a) === unpadded(b)
}

function report(sentence, wrong) {
  if (wrong.length === 0) passed += 1
  else failed += 1
  console.log(`${wrong.length === 0 ? 'ok' : 'NOT OK'} - ${sentence}`)
  for (const line of wrong.slice(0, 10)) console.log(`    ${line}`)
}
