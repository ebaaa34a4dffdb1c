import { expect } from 'vitest'
import { REDIS, test, type Yaml } from './helm.ts'

const WORKER = 'rq-resqueue-default'
const CONTROLLER = 'rq-resqueue-controller'

test('every pod keeps to the restricted Pod Security Standard', async ({ helm }) => {
  const out = await helm.render({ redis: { trial: { enabled: true } } })
  const pods = [
    ...out.all('Deployment').map(({ spec }) => spec.template.spec),
    ...out.all('Pod').map(({ spec }) => spec),
  ]
  expect(pods).toHaveLength(4)
  for (const pod of pods) {
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    // With a user alone the container's group would be root's.
    expect(pod.securityContext.runAsUser).toBeGreaterThan(0)
    expect(pod.securityContext.runAsGroup).toBeGreaterThan(0)
    expect(pod.enableServiceLinks).toBe(false)
    for (const container of pod.containers) {
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      expect(container.resources.requests).toMatchObject({ cpu: expect.any(String), memory: expect.any(String) })
      expect(container.resources.limits.memory).toEqual(expect.any(String))
    }
  }
})

test('only the controller gets a token for the API server', async ({ helm }) => {
  const out = await helm.render({ redis: { trial: { enabled: true } } })
  const withToken = out
    .all('Deployment')
    .filter(({ spec }) => spec.template.spec.automountServiceAccountToken !== false)
  expect(withToken.map(({ metadata }) => metadata.name)).toEqual([CONTROLLER])
  expect(out.all('ServiceAccount').map((one) => one['automountServiceAccountToken'])).toEqual([false, false])
})

test('users, groups and contexts can be left to the platform', async ({ helm }) => {
  const open = {
    podSecurityContext: { runAsUser: null, runAsGroup: null },
    securityContext: { readOnlyRootFilesystem: false },
  }
  const out = await helm.render({ ...REDIS, workerDefaults: open, controller: open })
  for (const name of [WORKER, CONTROLLER]) {
    expect(out.pod(name).securityContext).toEqual({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    expect(out.container(name).securityContext.readOnlyRootFilesystem).toBe(false)
  }
})

test('large user ids are not written with an exponent', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, workerDefaults: { podSecurityContext: { runAsUser: 1000680000 } } })
  expect(out.text).toMatch(/runAsUser: 1000680000$/m)
})

test('large numbers among options and as the size of /tmp are not written with an exponent', async ({ helm }) => {
  const large = { extraArgs: ['--max-jobs', 1000000, 0.5], tmpSizeLimit: 1073741824 }
  const out = await helm.render({ ...REDIS, workerDefaults: large, controller: large })
  for (const name of [WORKER, CONTROLLER]) {
    expect(out.container(name).args.slice(-3)).toEqual(['--max-jobs', '1000000', '0.5'])
    expect(out.pod(name).volumes[0].emptyDir).toEqual({ sizeLimit: '1073741824' })
  }
})

test('no old ReplicaSet is kept where none is wanted, and as many as Kubernetes keeps where nothing is said', async ({
  helm,
}) => {
  const values = {
    ...REDIS,
    workerDefaults: { revisionHistoryLimit: 0 },
    controller: { revisionHistoryLimit: null },
  }
  const out = await helm.render(values)
  const limits = out.all('Deployment').map(({ metadata, spec }) => [metadata.name, spec.revisionHistoryLimit])
  expect(Object.fromEntries(limits)).toEqual({ [WORKER]: 0, [CONTROLLER]: undefined })
})

test('the probes ask the worker itself', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, workers: { default: { livenessProbe: { periodSeconds: 30 } } } })
  for (const name of [WORKER, CONTROLLER]) {
    const { startupProbe, livenessProbe, readinessProbe, ports } = out.container(name)
    expect(startupProbe.httpGet.path).toBe('/livez')
    expect(livenessProbe.httpGet).toEqual({ path: '/livez', port: 'http' })
    expect(readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'http' })
    expect(ports).toEqual([{ name: 'http', containerPort: 9090, protocol: 'TCP' }])
  }
  expect(out.container(WORKER).livenessProbe.periodSeconds).toBe(30)
})

test.for([
  [{}, 35],
  [{ shutdownTimeoutSeconds: 3600 }, 3610],
  [{ shutdownTimeoutSeconds: 10.5, killDelaySeconds: 1 }, 17],
  [{ shutdownTimeoutSeconds: 0, killDelaySeconds: 0 }, 5],
] as const)('the grace period is shutdown timeout + kill delay + 5: %j', async ([values, seconds], { helm }) => {
  const out = await helm.render({ ...REDIS, workers: { default: values } })
  expect(out.pod(WORKER).terminationGracePeriodSeconds).toBe(seconds)
})

test.for([
  // 96 + 4 × (128 + 60) = 848
  ['848Mi', '128Mi', 4, true],
  ['847Mi', '128Mi', 4, false],
  ['1Gi', '1Gi', 1, false],
  ['1.2Gi', '1Gi', 1, true],
  [1280000000, 1024, 1, true],
  ['1100M', 1024, 1, false],
  ['900000Ki', '128Mi', 4, true],
  [null, '64Gi', 8, true],
  ['512Mi', null, 64, true],
] as const)(
  'a memory limit of %s for jobs of %s, %d at once: fits %s',
  async ([memory, jobMemory, concurrency, fits], { helm }) => {
    const values = { ...REDIS, workers: { default: { jobMemory, concurrency, resources: { limits: { memory } } } } }
    if (fits) return void (await helm.render(values))
    expect(await helm.refusal(values)).toMatch(
      /workers\.default: .* need up to \d+ MiB, and resources\.limits\.memory is/,
    )
    const allowed = { ...values, workerDefaults: { allowMemoryOvercommit: true } }
    await helm.render(allowed)
  },
)

test('a pool without any limits renders', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, workers: { default: { jobMemory: 100, resources: { limits: null } } } })
  expect(out.container(WORKER).resources).not.toHaveProperty('limits', expect.anything())
})

test('pods say who they are', async ({ helm }) => {
  const out = await helm.render({ ...REDIS })
  const names = (name: string): Record<string, unknown> =>
    Object.fromEntries(
      out
        .container(name)
        .env.map((one: { name: string; value?: string; valueFrom?: { fieldRef?: { fieldPath: string } } }) => [
          one.name,
          one.value ?? one.valueFrom?.fieldRef?.fieldPath,
        ]),
    )
  expect(names(WORKER)).toEqual({
    POD_NAME: 'metadata.name',
    POD_NAMESPACE: 'metadata.namespace',
    POD_UID: 'metadata.uid',
    CONTAINER_NAME: 'worker',
    REDIS_URL: 'redis://redis:6379',
    PREFIX: 'resque',
  })
  expect(names(CONTROLLER)).toMatchObject({ POD_NAMESPACE: 'metadata.namespace', CONTAINER_NAME: 'controller' })
  expect(out.container(WORKER).name).toBe('worker')
})

test("a variable or volume of the user's replaces the chart's of the same name", async ({ helm }) => {
  const env = [
    { name: 'REDIS_URL', valueFrom: { secretKeyRef: { name: 'mine', key: 'url' } } },
    { name: 'TZ', value: 'UTC' },
  ]
  const out = await helm.render({ ...REDIS, workerDefaults: { env }, controller: { env } })
  for (const name of [WORKER, CONTROLLER]) {
    const all = out.container(name).env as { name: string }[]
    expect(new Set(all.map((one) => one.name)).size).toBe(all.length)
    expect(all).toEqual(expect.arrayContaining(env))
    expect(all.map((one) => one.name)).toContain('PREFIX')
  }
  const tmp = { name: 'tmp', emptyDir: { medium: 'Memory' } }
  const mount = { name: 'tmp', mountPath: '/tmp', subPath: 'x' }
  const own = await helm.render({ ...REDIS, workerDefaults: { volumes: [tmp], volumeMounts: [mount] } })
  expect(own.pod(WORKER).volumes).toEqual([tmp])
  expect(own.container(WORKER).volumeMounts).toEqual([mount])
})

test('the usual settings of a pod are there', async ({ helm }) => {
  const settings = {
    env: [{ name: 'TZ', value: 'UTC' }],
    envFrom: [{ secretRef: { name: 'more' } }],
    volumes: [{ name: 'cache', emptyDir: {} }],
    volumeMounts: [{ name: 'cache', mountPath: '/cache' }],
    nodeSelector: { disk: 'fast' },
    tolerations: [{ key: 'spot', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    priorityClassName: 'high',
    runtimeClassName: 'gvisor',
    hostAliases: [{ ip: '192.0.2.1', hostnames: ['x'] }],
    podAnnotations: { a: 'b' },
    imagePullSecrets: ['mine', 'all'],
    extraContainers: [{ name: 'sidecar', image: 'x' }],
    initContainers: [{ name: 'init', image: 'x' }],
    strategy: { type: 'Recreate' },
    tmpSizeLimit: '2Gi',
  }
  const out = await helm.render({
    ...REDIS,
    imagePullSecrets: [{ name: 'all' }],
    workerDefaults: settings,
    controller: settings,
  })
  for (const name of [WORKER, CONTROLLER]) {
    const { spec } = out.get('Deployment', name)
    const pod = out.pod(name)
    expect(pod).toMatchObject({
      nodeSelector: settings.nodeSelector,
      tolerations: settings.tolerations,
      affinity: settings.affinity,
      priorityClassName: 'high',
      runtimeClassName: 'gvisor',
      hostAliases: settings.hostAliases,
      imagePullSecrets: [{ name: 'all' }, { name: 'mine' }],
      initContainers: settings.initContainers,
    })
    expect(pod.containers[1]).toEqual(settings.extraContainers[0])
    expect(pod.containers[0].env).toContainEqual(settings.env[0])
    expect(pod.containers[0].envFrom).toEqual(settings.envFrom)
    expect(pod.containers[0].volumeMounts).toEqual([{ name: 'tmp', mountPath: '/tmp' }, ...settings.volumeMounts])
    expect(pod.volumes).toEqual([{ name: 'tmp', emptyDir: { sizeLimit: '2Gi' } }, ...settings.volumes])
    expect(spec.template.metadata.annotations).toMatchObject({ a: 'b' })
    expect(spec.strategy).toEqual({ type: 'Recreate' })
  }
})

test('spread constraints get the labels of their own pods where they name none', async ({ helm }) => {
  const own = {
    maxSkew: 2,
    topologyKey: 'zone',
    whenUnsatisfiable: 'DoNotSchedule',
    labelSelector: { matchLabels: { a: 'b' } },
  }
  const out = await helm.render({ ...REDIS, workers: { mail: { topologySpreadConstraints: [own] } } })
  expect(out.pod('rq-resqueue-mail').topologySpreadConstraints).toEqual([own])
  expect(out.pod(WORKER).topologySpreadConstraints[0].labelSelector.matchLabels).toEqual(
    out.get('Deployment', WORKER).spec.selector.matchLabels,
  )
})

test('images by registry, tag and digest, and for one pool', async ({ helm }) => {
  const digest = `sha256:${'a'.repeat(64)}`
  const out = await helm.render({
    ...REDIS,
    image: { registry: 'registry.example.com:5000/', repository: 'shop/jobs', tag: 'v2' },
    workers: {
      pinned: { image: { digest } },
      other: { image: { repository: 'other', registry: '', pullPolicy: 'Always' } },
    },
  })
  expect(out.container(WORKER).image).toBe('registry.example.com:5000/shop/jobs:v2')
  expect(out.container('rq-resqueue-pinned').image).toBe(`registry.example.com:5000/shop/jobs@${digest}`)
  expect(out.container('rq-resqueue-other')).toMatchObject({ image: 'other:v2', imagePullPolicy: 'Always' })
  expect((await helm.render({ ...REDIS })).container(WORKER).image).toBe('resqueue:0.1.0')
  const pinned = await helm.render({
    ...REDIS,
    image: { repository: 'shop', digest },
    controller: { image: { repository: 'resqueue', tag: '0.1.0' } },
    workers: { new: { image: { tag: 'v3' } }, same: { image: { pullPolicy: 'Always' } } },
  })
  expect(pinned.container(CONTROLLER).image).toBe('resqueue:0.1.0')
  expect(pinned.container('rq-resqueue-new').image).toBe('shop:v3')
  expect(pinned.container('rq-resqueue-same').image).toBe(`shop@${digest}`)
})

test('a service account for each pool, with its annotations, or one that is there', async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    workers: {
      default: { serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn' }, automountToken: true } },
      theirs: { serviceAccount: { create: false, name: 'shared' } },
      none: { serviceAccount: { create: false } },
    },
  })
  expect(out.get('ServiceAccount', WORKER).metadata).toMatchObject({
    annotations: { 'eks.amazonaws.com/role-arn': 'arn' },
  })
  expect(out.pod(WORKER)).toMatchObject({ serviceAccountName: WORKER, automountServiceAccountToken: true })
  expect(out.pod('rq-resqueue-theirs').serviceAccountName).toBe('shared')
  expect(out.pod('rq-resqueue-none').serviceAccountName).toBe('default')
  expect(
    out
      .all('ServiceAccount')
      .map((one) => one.metadata.name)
      .sort(),
  ).toEqual([CONTROLLER, WORKER])
})

test('a disruption budget takes pods one by one and never holds up a node for a pod that does not work', async ({
  helm,
}) => {
  const out = await helm.render({
    ...REDIS,
    workers: {
      off: { podDisruptionBudget: { enabled: false } },
      part: { podDisruptionBudget: { maxUnavailable: '30%' } },
    },
  })
  expect(out.get('PodDisruptionBudget', WORKER).spec).toEqual({
    maxUnavailable: 1,
    unhealthyPodEvictionPolicy: 'AlwaysAllow',
    selector: out.get('Deployment', WORKER).spec.selector,
  })
  expect(out.get('PodDisruptionBudget', 'rq-resqueue-part').spec.maxUnavailable).toBe('30%')
  expect(out.find('PodDisruptionBudget', 'rq-resqueue-off')).toBeUndefined()
})

const role = (arn: string): object => ({ 'eks.amazonaws.com/role-arn': arn })

test('pools that name the same service account share one', async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    workerDefaults: { serviceAccount: { name: 'shared', annotations: role('arn') } },
    workers: { mail: {}, own: { serviceAccount: { name: 'own' } } },
  })
  expect(out.all('ServiceAccount').map(({ metadata }) => metadata.name)).toEqual(['own', 'shared', CONTROLLER])
  const { labels, annotations } = out.get('ServiceAccount', 'shared').metadata as Yaml
  expect(annotations).toEqual(role('arn'))
  // Labels that are true of both pools.
  expect(labels).toMatchObject({ 'app.kubernetes.io/component': 'worker' })
  expect(labels).not.toHaveProperty(['resqueue.dev/pool'])
  expect(out.get('ServiceAccount', 'own').metadata.labels['resqueue.dev/pool']).toBe('own')
  for (const pool of [WORKER, 'rq-resqueue-mail']) expect(out.pod(pool).serviceAccountName).toBe('shared')
})

test.for([
  [
    'other annotations',
    { workers: { default: { serviceAccount: { annotations: role('a') } }, mail: {} } },
    'workers.default and workers.mail create the same service account, "shared", with different annotations',
  ],
  [
    "the controller's name",
    { controller: { serviceAccount: { name: 'shared' } } },
    'workers.default.serviceAccount.name: "shared" is the controller\'s, and jobs would have its rights',
  ],
  [
    "the controller's name, which is there already",
    { controller: { serviceAccount: { create: false, name: 'shared' } } },
    'workers.default.serviceAccount.name: "shared" is the controller\'s, and jobs would have its rights',
  ],
  [
    "the controller's name and a token",
    {
      workerDefaults: { serviceAccount: { create: false, name: CONTROLLER, automountToken: true } },
    },
    `workers.default.serviceAccount.name: "${CONTROLLER}" is the controller's, and jobs would have its rights`,
  ],
] as const)('refused: a shared service account with %s', async ([, values, message], { helm }) => {
  const workerDefaults = { serviceAccount: { name: 'shared' } }
  expect(await helm.refusal({ ...REDIS, workerDefaults, ...values })).toContain(message)
})

test('one account that is there may be that of all pods: workers get no token of it', async ({ helm }) => {
  const serviceAccount = { create: false, name: 'one' }
  const out = await helm.render({ ...REDIS, workerDefaults: { serviceAccount }, controller: { serviceAccount } })
  expect(out.all('ServiceAccount')).toEqual([])
  for (const name of [WORKER, CONTROLLER]) expect(out.pod(name).serviceAccountName).toBe('one')
  expect(out.pod(WORKER).automountServiceAccountToken).toBe(false)
})

test('the test pod takes little of what its pool has, none of its devices, and the limits that a quota asks for', async ({
  helm,
}) => {
  const device = { 'nvidia.com/gpu': 1 }
  const resources = { limits: { cpu: 4, memory: '8Gi', 'ephemeral-storage': '1Gi', ...device }, requests: device }
  const out = await helm.render({ ...REDIS, workers: { default: { resources }, bare: { resources: null } } })
  const own = { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '256Mi' } }
  const limits = { ...own.limits, cpu: 4, 'ephemeral-storage': '1Gi' }
  const pod = (name: string): Yaml => out.get('Pod', name).spec.containers[0].resources
  expect(pod('rq-resqueue-default-test')).toEqual({ ...own, limits })
  expect(pod('rq-resqueue-bare-test')).toEqual(own)
})
