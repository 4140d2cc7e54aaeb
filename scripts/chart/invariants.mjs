// Checks that no schema can make: the documents of one rendering fit together and keep the chart's promises.

/** The mistakes of the documents as a whole, one sentence each. */
export function findContradictions(documents) {
  const wrong = []
  const expect = (holds, sentence) => {
    if (!holds) wrong.push(sentence)
  }
  const all = kind => documents.filter(document => document.kind === kind)
  const [deployment] = all('Deployment')
  const [config] = all('ConfigMap').filter(({ data }) => data.SSE_ADAPTER !== undefined)
  const pod = deployment.spec.template
  const [container] = pod.spec.containers
  const ports = new Set(container.ports.map(({ name }) => name))

  const names = documents.map(({ kind, metadata }) => `${kind}/${metadata.name}`)
  expect(new Set(names).size === names.length, 'two documents have one name')
  for (const { kind, metadata } of documents)
    expect(metadata.name.length <= 63, `${kind}/${metadata.name} is longer than 63`)

  for (const service of all('Service')) {
    expect(matches(service.spec.selector, pod.metadata.labels), `Service ${service.metadata.name} selects no gateway`)
    for (const { targetPort } of service.spec.ports)
      expect(ports.has(targetPort), `no container port is named ${targetPort}`)
  }
  for (const budget of all('PodDisruptionBudget')) {
    expect(matches(budget.spec.selector.matchLabels, pod.metadata.labels), 'the budget selects no gateway')
    expect('minAvailable' in budget.spec !== 'maxUnavailable' in budget.spec, 'the budget has both bounds or none')
  }
  for (const other of all('Pod')) {
    expect(!matches(deployment.spec.selector.matchLabels, other.metadata.labels), 'the Deployment counts the test pod')
  }
  for (const monitor of all('ServiceMonitor')) {
    const found = all('Service').filter(({ metadata }) => matches(monitor.spec.selector.matchLabels, metadata.labels))
    const scraped = found.flatMap(({ spec }) => spec.ports.map(({ name }) => name))
    expect(
      scraped.length === 1 && scraped[0] === monitor.spec.endpoints[0].port,
      'the ServiceMonitor finds no port, or several',
    )
  }
  for (const { spec } of [...all('HorizontalPodAutoscaler'), ...all('ScaledObject')]) {
    expect(spec.scaleTargetRef.name === deployment.metadata.name, 'the autoscaler scales nothing')
    expect(deployment.spec.replicas === undefined, 'Deployment and autoscaler both set the replicas')
    const { scaleDown, scaleUp } = spec.behavior ?? spec.advanced.horizontalPodAutoscalerConfig.behavior
    expect(scaleUp.stabilizationWindowSeconds === 0, 'scaling up waits')
    expect(scaleDown.stabilizationWindowSeconds === 600, 'scaling down does not wait 600 s')
    expect(
      scaleDown.policies[0].value === 1 && scaleDown.policies[0].periodSeconds === 180,
      'more than one pod goes per 180 s',
    )
  }

  const drainMs = Number(config.data.DRAIN_DELAY_MS) + Number(config.data.DRAIN_WINDOW_MS)
  const preStop = container.lifecycle?.preStop.sleep.seconds ?? 0
  expect(
    pod.spec.terminationGracePeriodSeconds >= preStop + drainMs / 1000 + 5,
    'the grace period is shorter than the drain',
  )
  const { maxSurge, maxUnavailable } = deployment.spec.strategy.rollingUpdate
  expect(maxSurge === 1 && maxUnavailable === 0, 'a roll-out takes a pod before the next is ready')
  expect(container.livenessProbe.httpGet.path === '/livez', 'liveness does not ask /livez')
  expect(container.startupProbe.httpGet.path === '/livez', 'startup does not ask /livez')
  expect(container.readinessProbe.httpGet.path === '/readyz', 'readiness does not ask /readyz')
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
    expect(ports.has(container[probe].httpGet.port), `${probe} asks a port that is not there`)
  }
  for (const { spec } of [pod, ...all('Pod')]) wrong.push(...findUnrestricted(spec))
  return wrong
}

/** Everything that the restricted Pod Security Standard would refuse, and a token that no pod needs. */
function findUnrestricted(spec) {
  const wrong = []
  if (spec.automountServiceAccountToken !== false) wrong.push('a service account token is mounted')
  if (spec.securityContext.runAsNonRoot !== true || !(spec.securityContext.runAsUser > 0))
    wrong.push('a pod may run as root')
  if (spec.securityContext.seccompProfile?.type !== 'RuntimeDefault') wrong.push('no seccomp profile')
  for (const { name, securityContext } of spec.containers) {
    if (securityContext.allowPrivilegeEscalation !== false) wrong.push(`${name} may gain privileges`)
    if (securityContext.readOnlyRootFilesystem !== true) wrong.push(`${name} may write to its image`)
    if (securityContext.capabilities?.drop?.[0] !== 'ALL') wrong.push(`${name} keeps capabilities`)
  }
  return wrong
}

function matches(selector, labels) {
  return Object.entries(selector).every(([name, value]) => labels[name] === value)
}
