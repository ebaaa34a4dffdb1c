import { expect } from 'vitest'
import { REDIS, test } from './helm.ts'

test('a pool has everything of workerDefaults and overrides what differs', async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    workerDefaults: {
      concurrency: 4,
      env: [{ name: 'A', value: '1' }],
      resources: { limits: { memory: '2Gi' } },
      jobs: '/app/jobs',
    },
    workers: { mailers: { queues: ['mail', 'mail-*'], concurrency: 2, resources: { requests: { memory: '300Mi' } } } },
  })
  const container = out.container('rq-resqueue-mailers')
  expect(container.args).toEqual(
    expect.arrayContaining(['--queues=mail,mail-*', '--concurrency=2', '--jobs=/app/jobs']),
  )
  expect(container.env).toContainEqual({ name: 'A', value: '1' })
  expect(container.resources).toEqual({ limits: { memory: '2Gi' }, requests: { cpu: '100m', memory: '300Mi' } })
  const other = out.container('rq-resqueue-default')
  expect(other.args).toEqual(expect.arrayContaining(['--queues=*', '--concurrency=4']))
})

test('a pool that is null is none, also the one named default', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, workers: { default: null, mail: {}, other: null } })
  expect(out.all('Deployment').map((one) => one.metadata.name)).toEqual(['rq-resqueue-controller', 'rq-resqueue-mail'])
})

test('values that are zero, false or null override defaults', async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    workers: {
      default: {
        replicas: 0,
        blocking: false,
        jobsPerChild: 0,
        podSecurityContext: { runAsUser: null },
        nodeSelector: null,
      },
    },
    workerDefaults: { nodeSelector: { disk: 'fast' } },
  })
  expect(out.get('Deployment', 'rq-resqueue-default').spec.replicas).toBe(0)
  expect(out.container('rq-resqueue-default').args).toEqual(
    expect.arrayContaining(['--no-blocking', '--jobs-per-child=0']),
  )
  expect(out.pod('rq-resqueue-default').securityContext).not.toHaveProperty('runAsUser', expect.anything())
  expect(out.pod('rq-resqueue-default')).not.toHaveProperty('nodeSelector')
})

test('null takes back one label, annotation or node selector of the defaults or of an earlier values file', async ({
  helm,
}) => {
  const maps = (a: string | null): object => ({
    podAnnotations: { a },
    podLabels: { a },
    deploymentAnnotations: { a },
    nodeSelector: { a },
    serviceAccount: { annotations: { a } },
  })
  const out = await helm.render({
    ...REDIS,
    workerDefaults: maps('taken back'),
    workers: { default: maps(null), mail: {} },
    controller: { ...maps(null), podSecurityContext: { fsGroup: null } },
  })
  // The node selector is that of the test pod as well.
  expect(out.text.match(/a: taken back/g)).toHaveLength(6)
  expect(out.text).not.toMatch(/(a|fsGroup): null/)
})

test('replicas are rendered only where no scaler owns them', async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    workerDefaults: { replicas: 3 },
    workers: { fixed: {}, scaled: { scaling: { enabled: true } }, 'by-hand': { replicas: null } },
  })
  const replicas = (pool: string): unknown => out.get('Deployment', `rq-resqueue-${pool}`).spec.replicas
  expect(replicas('fixed')).toBe(3)
  expect(replicas('default')).toBe(3)
  expect(replicas('scaled')).toBeUndefined()
  expect(replicas('by-hand')).toBeUndefined()
})

test('a WorkerScaler takes its fields word for word and points at its pool', async ({ helm }) => {
  const scaling = {
    minReplicas: 2,
    maxReplicas: 40,
    cooldownSeconds: 90,
    behavior: { scaleDown: { policies: [{ type: 'Percent', value: 10, periodSeconds: 60 }] } },
    protect: ['karpenter'],
    paused: true,
  }
  const out = await helm.render({
    ...REDIS,
    workers: { mail: { queues: ['mail', '!mail-old'], concurrency: 5, scaling: { enabled: true, ...scaling } } },
  })
  expect(out.all('WorkerScaler')).toHaveLength(1)
  expect(out.get('WorkerScaler', 'rq-resqueue-mail').spec).toEqual({
    ...scaling,
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'rq-resqueue-mail' },
    queues: ['mail', '!mail-old'],
    redis: { name: 'default' },
    slotsPerReplica: 5,
    scaleDown: { drain: true },
    target: { latencySeconds: 30 },
  })
})

test('a tolerance may be a number in the values, and is text in the WorkerScaler', async ({ helm }) => {
  const tolerances = async (scaleUp: unknown, scaleDown: unknown): Promise<unknown> => {
    const behavior = { scaleUp: { tolerance: scaleUp }, scaleDown: { tolerance: scaleDown } }
    const out = await helm.render({ ...REDIS, workers: { default: { scaling: { enabled: true, behavior } } } })
    return out.get('WorkerScaler', 'rq-resqueue-default').spec.behavior
  }
  expect(await tolerances(0.05, 0)).toEqual({ scaleUp: { tolerance: '0.05' }, scaleDown: { tolerance: '0' } })
  expect(await tolerances('50m', null)).toEqual({ scaleUp: { tolerance: '50m' }, scaleDown: {} })
})

test("a pool's target replaces the default one as a whole", async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    workerDefaults: { scaling: { enabled: true, target: { latencySeconds: 10 } } },
    workers: {
      depth: { scaling: { target: { jobsPerReplica: 7 } } },
      queue: { scaling: { target: { latencySecondsByQueue: { a: 3 } } } },
      nulled: { scaling: { target: { latencySeconds: null, jobsPerReplica: 4 } } },
    },
  })
  const target = (pool: string): unknown => out.get('WorkerScaler', `rq-resqueue-${pool}`).spec.target
  expect(target('default')).toEqual({ latencySeconds: 10 })
  expect(target('depth')).toEqual({ jobsPerReplica: 7 })
  expect(target('queue')).toEqual({ latencySeconds: 30, latencySecondsByQueue: { a: 3 } })
  expect(target('nulled')).toEqual({ jobsPerReplica: 4 })
})

test('every worker option of the values reaches the command line', async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    workers: {
      default: {
        jobs: '/srv/jobs',
        isolation: 'spawn',
        jobMemory: '100Mi',
        timeout: '90s',
        hooks: './hooks.ts',
        failureBackend: 'multi-queue',
        intervalSeconds: 0.25,
        maxRecoveries: 7,
        shutdownTimeoutSeconds: 100000,
        killDelaySeconds: 2,
        logLevel: 'debug',
        extraArgs: ['--max-jobs=5'],
      },
    },
  })
  expect(out.container('rq-resqueue-default').args).toEqual([
    'work',
    '--queues=*',
    '--jobs=/srv/jobs',
    '--port=9090',
    '--concurrency=1',
    '--failure-backend=multi-queue',
    '--hooks=./hooks.ts',
    '--interval=0.25',
    '--isolation=spawn',
    '--job-memory=100Mi',
    '--jobs-per-child=1',
    '--kill-delay=2',
    '--log-level=debug',
    '--max-recoveries=7',
    '--shutdown-timeout=100000',
    '--timeout=90s',
    '--max-jobs=5',
  ])
})

test('with the trial Redis a pool without jobs performs the demo jobs, else those of the image', async ({ helm }) => {
  const trial = await helm.render({ redis: { trial: { enabled: true } }, workers: { own: { jobs: '/srv/jobs' } } })
  expect(trial.container('rq-resqueue-default').args).toContain('--jobs=/app/demo-jobs')
  expect(trial.container('rq-resqueue-own').args).toContain('--jobs=/srv/jobs')
  expect(trial.get('ConfigMap', 'rq-resqueue-demo-jobs')['data']['demo-jobs.mjs']).toContain('export class Hello')
  expect(trial.pod('rq-resqueue-own').volumes.map((one: { name: string }) => one.name)).toEqual(['tmp'])
  const real = await helm.render({ ...REDIS })
  expect(real.container('rq-resqueue-default').args).toContain('--jobs=/app/jobs')
  expect(real.find('ConfigMap', 'rq-resqueue-demo-jobs')).toBeUndefined()
})

test('a new version of the chart alone restarts no pod', async ({ helm }) => {
  const out = await helm.render({ ...REDIS })
  for (const { spec } of out.all('Deployment')) {
    expect(Object.keys(spec.template.metadata.labels)).not.toContain('helm.sh/chart')
    expect(Object.keys(spec.template.metadata.labels)).not.toContain('app.kubernetes.io/version')
  }
})
