// The values that the chart is rendered with: those that must give valid documents, and those that it must refuse with this message.

const base = ['--set', 'secret.redisUrl=redis://redis:6379', '--set', 'secret.apiKeys=jobs=0123456789abcdef']
const set = (...pairs) => pairs.flatMap(pair => ['--set', pair])
const json = (name, value) => ['--set-json', `${name}=${JSON.stringify(value)}`]
const digest = `sha256:${'a'.repeat(64)}`

export const good = {
  'the fewest values': [base],
  'an existing Secret': [set('secret.existing=mine')],
  'a JWT secret and no key': [set('secret.redisUrl=rediss://u:p@redis:6380/1', `secret.jwtSecret=${'s'.repeat(32)}`)],
  'a public key and Sentinel': [
    set(
      'secret.redisUrl=redis+sentinel://a:26379/main',
      'config.jwtIssuer=me',
      'config.jwtAudience=you',
      'config.authCookie=sid',
    ),
    ['--set-string', 'config.jwtPublicKey=-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n'],
  ],
  'one replica in memory': [set('config.adapter=memory', 'replicaCount=1', 'secret.apiKeys=jobs=0123456789abcdef')],
  'every variable': [
    base,
    json('config.corsOrigins', ['https://a.example', 'https://b.example']),
    set(
      'config.rateLimitPublish=1000',
      'config.rateLimitRooms=100',
      'config.rateLimitConnect=60',
      'config.redisWaitReplicas=1',
    ),
    set('config.jwksUrl=https://id.example/keys', 'config.trustProxy=1', 'config.connectionMaxAgeMs=900000'),
  ],
  'an image by digest, from a registry with a password': [
    base,
    set('image.repository=registry.example/tidings', `image.digest=${digest}`, 'image.pullPolicy=Always'),
    json('image.pullSecrets', [{ name: 'registry' }]),
  ],
  'names and labels': [
    base,
    set('fullnameOverride=push', 'commonLabels.team=web', 'podLabels.tier=edge', 'podAnnotations.note=x'),
  ],
  'no admin port': [base, set('ports.admin=null', 'metrics.serviceMonitor.enabled=true', 'networkPolicy.enabled=true')],
  'TLS in the pod': [base, set('tls.secretName=cert', 'ingress.enabled=true', 'ingress.hosts[0].host=a.example')],
  'TLS in the pod and no admin port': [
    base,
    set('tls.secretName=cert', 'ports.admin=null', 'metrics.serviceMonitor.enabled=true'),
  ],
  'a sleep before SIGTERM': [base, set('drain.preStopSeconds=15', 'drain.windowMs=60000')],
  'a longer grace period': [base, set('drain.terminationGracePeriodSeconds=300')],
  'a load balancer': [
    base,
    set(
      'service.type=LoadBalancer',
      'service.externalTrafficPolicy=Local',
      'service.loadBalancerClass=x',
      'service.annotations.a=b',
    ),
  ],
  'a budget by number': [base, set('replicaCount=3', 'podDisruptionBudget.minAvailable=2')],
  'a budget by percentage': [base, set('podDisruptionBudget.maxUnavailable=25%')],
  'no budget, no spread, an account of its own': [
    base,
    set(
      'podDisruptionBudget.enabled=false',
      'topologySpread.enabled=false',
      'serviceAccount.create=false',
      'serviceAccount.name=web',
    ),
  ],
  'a network policy': [
    base,
    set('networkPolicy.enabled=true', 'config.jwksUrl=https://id.example:8443/keys'),
    json('networkPolicy.clientsFrom', [
      { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'ingress' } } },
    ]),
    json('networkPolicy.metricsFrom', [
      { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } },
    ]),
    json('networkPolicy.redisTo', [{ ipBlock: { cidr: '10.0.0.0/8' } }]),
    json('networkPolicy.extraEgress', [{ ports: [{ port: 4317 }] }]),
  ],
  ...Object.fromEntries(
    ['nginx', 'traefik', 'haproxy', 'alb', 'none'].map(controller => [
      `an Ingress for ${controller}`,
      [
        base,
        set('ingress.enabled=true', `ingress.controller=${controller}`, `ingress.className=${controller}`),
        json('ingress.hosts', [{ host: 'a.example' }, { host: 'b.example', paths: ['/v1', '/docs'] }]),
        json('ingress.tls', [{ hosts: ['a.example'], secretName: 'a' }]),
      ],
    ]),
  ),
  'an HTTPRoute': [
    base,
    set('httpRoute.enabled=true', 'httpRoute.parentRefs[0].name=edge', 'httpRoute.parentRefs[0].namespace=infra'),
    set('httpRoute.hostnames[0]=a.example', 'httpRoute.annotations.a=b'),
  ],
  'scaling by CPU': [base, set('autoscaling.mode=cpu')],
  'scaling by connections': [base, set('autoscaling.mode=connections', 'autoscaling.connectionsPerPod=9999')],
  'scaling by connections, rules made elsewhere': [
    base,
    set('autoscaling.mode=connections', 'autoscaling.prometheusAdapter.configMap=false'),
  ],
  'scaling by KEDA': [
    base,
    set(
      'autoscaling.mode=keda',
      'autoscaling.keda.serverAddress=http://prometheus:9090',
      'autoscaling.keda.authenticationRef=prom',
    ),
  ],
  'everything that watches': [
    base,
    set('metrics.serviceMonitor.enabled=true', 'metrics.prometheusRule.enabled=true', 'metrics.dashboard.enabled=true'),
    set('metrics.serviceMonitor.labels.release=prom', 'metrics.prometheusRule.labels.release=prom'),
  ],
  'where to run': [
    base,
    set('nodeSelector.pool=edge', 'priorityClassName=high', 'topologySpread.whenUnsatisfiable=DoNotSchedule'),
    json('tolerations', [{ key: 'edge', operator: 'Exists', effect: 'NoSchedule' }]),
    json('affinity', { nodeAffinity: {} }),
    json('extraEnv', [{ name: 'NODE_EXTRA_CA_CERTS', value: '/etc/ssl/ca.pem' }]),
  ],
}

export const bad = [
  ['a value that is not known', [base, set('replicas=3')], "additional properties 'replicas' not allowed"],
  ['a misspelt setting', [base, set('config.heartbeatMS=1000')], "additional properties 'heartbeatMS' not allowed"],
  [
    'no Redis',
    [set('secret.apiKeys=jobs=0123456789abcdef')],
    'secret.redisUrl, or secret.existing with a key REDIS_URL, must be set',
  ],
  [
    'no credentials',
    [set('secret.redisUrl=redis://redis')],
    'no credentials: a gateway without any is open to everyone',
  ],
  [
    'an unknown adapter',
    [base, set('config.adapter=kafka')],
    "at '/config/adapter': value must be one of 'redis', 'memory'",
  ],
  ['a URL of another kind', [base, set('secret.redisUrl=http://redis')], "at '/secret/redisUrl'"],
  ['a short API key', [base, set('secret.apiKeys=jobs=short')], "at '/secret/apiKeys'"],
  ['a short JWT secret', [base, set('secret.jwtSecret=short')], "at '/secret/jwtSecret'"],
  [
    'an existing Secret and a created one',
    [base, set('secret.existing=mine')],
    "at '/secret/redisUrl': maxLength: got",
  ],
  [
    'two replicas in memory',
    [set('config.adapter=memory', 'secret.apiKeys=jobs=0123456789abcdef')],
    "at '/replicaCount': maximum: got 2, want 1",
  ],
  [
    'memory, scaled',
    [set('config.adapter=memory', 'replicaCount=1', 'autoscaling.mode=cpu')],
    "at '/autoscaling/mode': value must be 'none'",
  ],
  [
    'memory with a Redis URL',
    [base, set('config.adapter=memory', 'replicaCount=1')],
    'secret.redisUrl is set but config.adapter is memory',
  ],
  [
    'a heartbeat that proxies outlive',
    [base, set('config.heartbeatMs=90000')],
    "at '/config/heartbeatMs': maximum: got 90,000",
  ],
  ['an origin with a path', [base, set('config.corsOrigins[0]=https://a.example/x')], "at '/config/corsOrigins/0'"],
  [
    'two ways to verify a token',
    [base, set(`secret.jwtSecret=${'s'.repeat(32)}`, 'config.jwksUrl=https://id.example/keys')],
    'config.jwksUrl and secret.jwtSecret are set together, but tokens are verified by exactly one of them',
  ],
  [
    'an issuer without a key',
    [base, set('config.jwtIssuer=me')],
    'config.jwtIssuer is set but nothing verifies tokens',
  ],
  [
    'a queue that holds no four events',
    [base, set('config.queueLimitBytes=65536')],
    'config.queueLimitBytes is 65536 but must be at least 4 times config.maxEventBytes 65536',
  ],
  [
    'scaling streams that never move',
    [base, set('autoscaling.mode=connections', 'config.connectionMaxAgeMs=0')],
    'autoscaling.mode is connections but config.connectionMaxAgeMs is 0',
  ],
  ['no replicas', [base, set('replicaCount=0')], "at '/replicaCount': minimum: got 0, want 1"],
  [
    'a target at the limit',
    [base, set('autoscaling.mode=connections', 'autoscaling.connectionsPerPod=10000')],
    'autoscaling.connectionsPerPod is 10000 but must be under config.maxConnections 10000',
  ],
  [
    'a KEDA target above the limit',
    [base, set('autoscaling.mode=keda', 'autoscaling.keda.serverAddress=http://p', 'config.maxConnections=500')],
    'autoscaling.connectionsPerPod is 3500 but must be under config.maxConnections 500',
  ],
  ['KEDA without Prometheus', [base, set('autoscaling.mode=keda')], "at '/autoscaling/keda/serverAddress': minLength"],
  ['an unknown way to scale', [base, set('autoscaling.mode=yes')], "at '/autoscaling/mode': value must be one of"],
  [
    'more at least than at most',
    [base, set('autoscaling.mode=cpu', 'autoscaling.minReplicas=5', 'autoscaling.maxReplicas=3')],
    'autoscaling.minReplicas is 5 but must not exceed autoscaling.maxReplicas 3',
  ],
  [
    'scaling by CPU without a request',
    [base, set('autoscaling.mode=cpu', 'resources.requests.cpu=null')],
    'resources.requests.cpu: set it',
  ],
  [
    'a grace period that cuts streams',
    [base, set('drain.windowMs=60000', 'drain.terminationGracePeriodSeconds=60')],
    'drain.terminationGracePeriodSeconds is 60 but must be at least 85',
  ],
  ['no margin', [base, set('drain.marginSeconds=0')], "at '/drain/marginSeconds': minimum: got 0, want 5"],
  [
    'both bounds of a budget',
    [base, set('podDisruptionBudget.minAvailable=1', 'podDisruptionBudget.maxUnavailable=1')],
    "at '/podDisruptionBudget/maxUnavailable': got number, want null",
  ],
  [
    'a budget that no node drain can meet',
    [base, set('podDisruptionBudget.minAvailable=2')],
    'podDisruptionBudget.minAvailable is 2 but must be under the 2 replicas that always run',
  ],
  ['one port for two', [base, set('ports.admin=3000')], 'ports.admin and ports.http are both 3000'],
  ['a port that needs root', [base, set('ports.http=80')], "at '/ports/http': minimum"],
  [
    'a traffic policy without a balancer',
    [base, set('service.externalTrafficPolicy=Local')],
    'service.type is ClusterIP',
  ],
  ['a balancer class without a balancer', [base, set('service.loadBalancerClass=x')], 'it belongs to LoadBalancer'],
  ['an Ingress without hosts', [base, set('ingress.enabled=true')], "at '/ingress/hosts': minItems: got 0, want 1"],
  [
    'a route without a gateway',
    [base, set('httpRoute.enabled=true')],
    "at '/httpRoute/parentRefs': minItems: got 0, want 1",
  ],
  [
    'a variable set twice',
    [base, set('extraEnv[0].name=PORT', 'extraEnv[0].value=x')],
    'extraEnv sets PORT, which the chart sets already',
  ],
  ['a tag as a digest', [base, set('image.digest=latest')], "at '/image/digest'"],
  [
    'a switch that is text',
    [base, ['--set-string', 'ingress.enabled=yes']],
    "at '/ingress/enabled': got string, want boolean",
  ],
  ['an older Kubernetes', [base], 'chart requires kubeVersion: >=1.30.0-0', '1.29.0'],
]
