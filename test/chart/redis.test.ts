import { expect } from 'vitest'
import { test, type Rendered, type Yaml } from './helm.ts'

const WORKER = 'rq-resqueue-default'
const CONTROLLER = 'rq-resqueue-controller'
const env = (out: Rendered, name: string): Record<string, Yaml> =>
  Object.fromEntries(out.container(name).env.map((one: Yaml) => [one.name, one.value ?? one.valueFrom]))

test('the URL from a Secret, by name or with its key', async ({ helm }) => {
  for (const existingSecret of [{ name: 'creds', key: 'redis-url' }, 'creds']) {
    const out = await helm.render({ redis: { existingSecret } })
    for (const name of [WORKER, CONTROLLER]) {
      const key = typeof existingSecret === 'string' ? 'url' : 'redis-url'
      expect(env(out, name)['REDIS_URL']).toEqual({ secretKeyRef: { name: 'creds', key } })
    }
    expect(out.all('Secret')).toEqual([])
  }
})

test('the password and certificates as mounted files', async ({ helm }) => {
  const out = await helm.render({
    redis: {
      url: 'rediss://redis:6380/3',
      namespace: '{shop}',
      existingSecret: { name: 'creds', passwordKey: 'pw' },
      tls: { existingSecret: 'certs', certKey: 'tls.crt', keyKey: 'tls.key' },
    },
  })
  for (const name of [WORKER, CONTROLLER]) {
    expect(env(out, name)).toMatchObject({
      REDIS_URL: 'rediss://redis:6380/3',
      PREFIX: '{shop}',
      REDIS_PASSWORD_FILE: '/etc/resqueue/redis/password',
      REDIS_TLS_CA: '/etc/resqueue/redis-tls/ca.crt',
      REDIS_TLS_CERT: '/etc/resqueue/redis-tls/tls.crt',
      REDIS_TLS_KEY: '/etc/resqueue/redis-tls/tls.key',
    })
    const [, password, tls] = out.pod(name).volumes
    expect(password.secret).toEqual({ secretName: 'creds', items: [{ key: 'pw', path: 'password' }] })
    expect(tls.secret.items).toHaveLength(3)
    expect(out.container(name).volumeMounts.slice(1)).toEqual([
      { name: 'redis', mountPath: '/etc/resqueue/redis', readOnly: true },
      { name: 'redis-tls', mountPath: '/etc/resqueue/redis-tls', readOnly: true },
    ])
  }
})

test('user and password of the Sentinels', async ({ helm }) => {
  const out = await helm.render({
    redis: {
      url: 'redis-sentinel://a,b/name',
      sentinelUsername: 'watch',
      existingSecret: { name: 'creds', sentinelPasswordKey: 'spw' },
    },
  })
  for (const name of [WORKER, CONTROLLER]) {
    expect(env(out, name)).toMatchObject({
      REDIS_SENTINEL_USERNAME: 'watch',
      REDIS_SENTINEL_PASSWORD_FILE: '/etc/resqueue/redis/sentinel-password',
    })
    expect(env(out, name)).not.toHaveProperty('REDIS_PASSWORD_FILE')
    expect(out.pod(name).volumes[1].secret).toEqual({
      secretName: 'creds',
      items: [{ key: 'spw', path: 'sentinel-password' }],
    })
    expect(out.container(name).volumeMounts[1]).toMatchObject({ mountPath: '/etc/resqueue/redis' })
  }
})

test.for([
  [{}, /Say where Redis is/],
  [{ url: 'redis://a', existingSecret: { name: 'b' } }, /both say where Redis is/],
  [{ url: 'redis://a', trial: { enabled: true } }, /cannot be combined/],
  [{ existingSecret: 'b', trial: { enabled: true } }, /cannot be combined/],
  [{ url: 'redis://a', existingSecret: { passwordKey: 'pw' } }, /Set redis\.existingSecret\.name/],
  [{ url: 'redis-sentinel://a/b', existingSecret: { sentinelPasswordKey: 'pw' } }, /Set redis\.existingSecret\.name/],
  [{ url: 'redis-cluster://a' }, /redis\.namespace: .*Set it to '{resque}'/],
  [{ url: 'rediss-cluster://a', namespace: '{}x{a}' }, /hash tag/],
] as const)('refused: redis %j', async ([redis, message], { helm }) => {
  expect(await helm.refusal({ redis })).toMatch(message)
})

test('the trial Redis says what it is and keeps nothing', async ({ helm }) => {
  const out = await helm.render({ redis: { trial: { enabled: true } } })
  expect(env(out, WORKER)['REDIS_URL']).toBe('redis://rq-resqueue-trial-redis:6379')
  const { spec, metadata } = out.get('Deployment', 'rq-resqueue-trial-redis')
  expect((metadata as Yaml).annotations['resqueue.dev/trial']).toMatch(/not for production/i)
  expect(spec.template.spec.volumes).toEqual([{ name: 'data', emptyDir: {} }])
  expect(spec.template.spec.containers[0].args.join(' ')).toContain('--maxmemory-policy noeviction')
  const service = out.get('Service', 'rq-resqueue-trial-redis').spec
  expect(spec.template.metadata.labels).toMatchObject(service.selector)
})

test('no trial Redis unless it is asked for', async ({ helm }) => {
  const out = await helm.render({ redis: { url: 'redis://a' } })
  expect(out.text).not.toMatch(/trial|valkey/)
})

const egressPorts = (policy: Yaml): number[][] =>
  policy.spec.egress.map((rule: Yaml) => rule.ports.map((one: { port: number }) => one.port))

test.for([
  ['redis://:pw:5@redis:7000/0', [7000]],
  ['redis://redis', [6379]],
  ['redis-sentinel://a:26380,b/name/0', [26380, 26379, 6379]],
  ['rediss-sentinel://u:p@a/name', [26379, 6379]],
  ['redis-cluster://a:7001,b:7002', [7001, 7002]],
  ['redis-cluster://a:7001,b', [7001, 6379]],
  ['redis://[2001:db8::1]:6390/1', [6390]],
  ['redis:7000', [7000]],
] as const)('the network policy lets workers reach DNS and the Redis of %s', async ([url, ports], { helm }) => {
  const out = await helm.render({ redis: { url, namespace: '{resque}' }, networkPolicy: { enabled: true } })
  expect(egressPorts(out.get('NetworkPolicy', WORKER))).toEqual([[53, 53], ports])
  expect(egressPorts(out.get('NetworkPolicy', CONTROLLER))).toEqual([[53, 53], ports, [443, 6443]])
})

test('the network policy opens the metrics port alone, and what a pool needs', async ({ helm }) => {
  const from = [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }]
  const to = [{ ipBlock: { cidr: '10.0.0.0/8' } }]
  const out = await helm.render({
    redis: { existingSecret: 'a' },
    networkPolicy: {
      enabled: true,
      metrics: { from },
      redis: { to, ports: [7000] },
      apiServer: { to, ports: [443] },
      dns: { to, ports: [5353] },
    },
    workers: { default: { networkPolicyEgress: [{ ports: [{ port: 587 }] }] } },
  })
  const { spec } = out.get('NetworkPolicy', WORKER)
  expect(spec.policyTypes).toEqual(['Ingress', 'Egress'])
  expect(spec.ingress).toEqual([{ ports: [{ protocol: 'TCP', port: 9090 }], from }])
  expect(spec.egress).toEqual([
    {
      to,
      ports: [
        { protocol: 'UDP', port: 5353 },
        { protocol: 'TCP', port: 5353 },
      ],
    },
    { to, ports: [{ protocol: 'TCP', port: 7000 }] },
    { ports: [{ port: 587 }] },
  ])
  expect(spec.podSelector).toEqual(out.get('Deployment', WORKER).spec.selector)
  expect(out.get('NetworkPolicy', CONTROLLER).spec.egress.at(-1)).toEqual({
    to,
    ports: [{ protocol: 'TCP', port: 443 }],
  })
})

test("the controller reaches its further connections' Redis as well, workers do not", async ({ helm }) => {
  const connections = {
    shop: { url: 'rediss://shop:6390', allowedNamespaces: ['shop'] },
    other: { existingSecret: 'other', allowedNamespaces: ['other'] },
  }
  const policies = { networkPolicy: { enabled: true }, controller: { connections } }
  const out = await helm.render({ redis: { trial: { enabled: true } }, ...policies })
  expect(egressPorts(out.get('NetworkPolicy', CONTROLLER))).toEqual([[53, 53], [6379], [6379, 6390], [443, 6443]])
  expect(out.get('NetworkPolicy', CONTROLLER).spec.egress[2]).not.toHaveProperty('to')
  expect(egressPorts(out.get('NetworkPolicy', WORKER))).toEqual([[53, 53], [6379]])
})

test('the pods of `helm test` reach DNS and Redis, and nobody reaches them', async ({ helm }) => {
  const out = await helm.render({ redis: { url: 'redis://a:7000' }, networkPolicy: { enabled: true } })
  const policy = out.get('NetworkPolicy', 'rq-resqueue-helm-test')
  expect(egressPorts(policy)).toEqual([[53, 53], [7000]])
  expect(policy.spec.ingress).toBeUndefined()
  expect(out.all('Pod')[0]?.metadata.labels).toMatchObject(policy.spec.podSelector.matchLabels)
  const none = await helm.render({
    redis: { url: 'redis://a' },
    networkPolicy: { enabled: true },
    test: { enabled: false },
  })
  expect(none.find('NetworkPolicy', 'rq-resqueue-helm-test')).toBeUndefined()
})

test('the trial Redis is reached by this release and by pods that are labelled', async ({ helm }) => {
  const networkPolicy = { enabled: true, redis: { ports: [7000] } }
  const out = await helm.render({ redis: { trial: { enabled: true } }, networkPolicy })
  const { ingress, podSelector } = out.get('NetworkPolicy', 'rq-resqueue-trial-redis').spec
  expect(podSelector).toEqual(out.get('Deployment', 'rq-resqueue-trial-redis').spec.selector)
  expect(ingress[0].from.map((one: Yaml) => one.podSelector.matchLabels)).toEqual([
    { 'app.kubernetes.io/instance': 'rq' },
    { 'resqueue.dev/client': 'true' },
  ])
  const [, redis] = out.get('NetworkPolicy', WORKER).spec.egress
  expect(redis.ports).toEqual([{ protocol: 'TCP', port: 6379 }])
  expect(redis.to).toEqual([{ podSelector: out.get('Deployment', 'rq-resqueue-trial-redis').spec.selector }])
})
