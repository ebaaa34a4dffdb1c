import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startRedis } from '../support/redis.ts'
import { never, waitFor } from '../support/wait.ts'
import { applyCrd, CRD, looker, pool, scalerManifest, startController } from './scaling.ts'
import { startControlPlane } from './support/controlplane.ts'
import { test } from './support/fixtures.ts'

const QUICK = {
  pollingIntervalSeconds: 1,
  cooldownSeconds: 2,
  behavior: { scaleDown: { stabilizationWindowSeconds: 1, tolerance: 0 } },
}

test('with an older CRD it says so and works; an API server that restarts is found again', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const plane = await startControlPlane({ nodes: 1 })
  const namespace = await plane.namespace()
  const look = looker(plane, namespace)
  await plane.apply(CRD.replace(/^ {16}protect:\n(?: {18}.*\n)+/m, ''))
  await waitFor(async () => (await plane.api.call('GET', '/apis/resqueue.dev/v1alpha1/workerscalers')).status === 200, {
    timeoutMs: 30_000,
  })
  await plane.apply([pool(), scalerManifest('s', QUICK)], { namespace })
  const controller = await startController({ cluster: plane, namespace, redis: redisUrl, ns, inPod: true })
  await waitFor(async () => (await look.condition('Ready')) === 'True CRDOutdated', { timeoutMs: 30_000 })
  const ready = (await look.status()).conditions?.find(({ type }) => type === 'Ready')
  expect(ready?.message).toContain('spec.protect')

  // Away for less time than the lease may go unrenewed: nothing is lost but time.
  await plane.apiServer.stop()
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, '{"class":"A","args":[]}')
  await waitFor(async () => ((await controller.metric('resqueue_kube_requests_failed_total')) ?? 0) > 2, {
    timeoutMs: 30_000,
  })
  await plane.apiServer.start()
  await plane.ready()
  await look.reaches(1, 60_000)
  expect(controller.process.running).toBe(true)
  await plane.stop()
})

test('pods that find no node, or start in vain, are not ordered by the dozen', async ({
  cluster,
  namespace,
  redis,
  redisUrl,
  ns,
}) => {
  await applyCrd(cluster)
  const look = looker(cluster, namespace)
  const homeless = pool({ name: 'v' }) as { spec: { template: { spec: object } } }
  const template = {
    ...homeless.spec.template,
    spec: { ...homeless.spec.template.spec, nodeSelector: { nowhere: 'yes' } },
  }
  const spec = { ...QUICK, maxReplicas: 30, target: { jobsPerReplica: 1 } }
  await cluster.apply(
    [
      { ...homeless, spec: { ...homeless.spec, template } },
      pool({ annotations: { 'resqueue.test/ready': 'false' } }),
      scalerManifest('s', { ...spec, queues: ['crash'] }),
      scalerManifest('t', { ...spec, scaleTargetRef: { name: 'v' } }),
    ],
    { namespace },
  )
  await startController({ cluster, namespace, redis: redisUrl, ns })
  await redis.sadd(`${ns}:queues`, 'q', 'crash')
  for (const queue of ['q', 'crash']) await redis.rpush(`${ns}:queue:${queue}`, '{"class":"A","args":[]}')
  await look.reaches(1)
  await look.reaches(1, 30_000, 'v')
  const path = `/api/v1/namespaces/${namespace}/pods`
  const crashing = await waitFor(async () => {
    interface Seen {
      readonly metadata: { readonly name: string; readonly labels: { readonly app: string } }
      readonly status: { readonly phase: string }
    }
    const { items } = await cluster.api.get<{ items: readonly Seen[] }>(path)
    return items.find(({ metadata, status }) => metadata.labels.app === 'w' && status.phase === 'Running')?.metadata
      .name
  })
  const containerStatuses = [
    {
      name: 'worker',
      ready: false,
      restartCount: 3,
      image: 'x',
      imageID: 'x',
      state: { waiting: { reason: 'CrashLoopBackOff' } },
    },
  ]
  await cluster.api.call('PATCH', `${path}/${crashing}/status`, {
    contentType: 'application/strategic-merge-patch+json',
    body: { status: { containerStatuses } },
  })
  await waitFor(async () => (await look.condition('ScalingLimited', 't')) !== undefined)
  await redis.rpush(`${ns}:queue:crash`, ...Array.from({ length: 20 }, () => '{"class":"A","args":[]}'))
  await waitFor(async () => (await look.condition('ScalingLimited')) === 'True PodsNotStarting', {
    timeoutMs: 30_000,
    describe: async () => JSON.stringify([await look.status(), await cluster.api.get(path)]),
  })
  await never(2000, async () => (await look.replicas()) > 1, 'more of them were ordered')
  // Unschedulable for a minute.
  await waitFor(
    async () => {
      const [pod] = (
        await cluster.api.get<{
          items: { status: { conditions?: { reason?: string; lastTransitionTime: string }[] } }[]
        }>(`${path}?labelSelector=app%3Dv`)
      ).items
      const since = pod?.status.conditions?.find(({ reason }) => reason === 'Unschedulable')?.lastTransitionTime
      return since !== undefined && Date.now() - Date.parse(since) > 62_000
    },
    { timeoutMs: 100_000, everyMs: 500 },
  )
  await redis.rpush(`${ns}:queue:q`, ...Array.from({ length: 20 }, () => '{"class":"A","args":[]}'))
  await waitFor(async () => (await look.condition('ScalingLimited', 't')) === 'True Unschedulable', {
    timeoutMs: 30_000,
  })
  expect(await look.replicas('v')).toBe(1)
})

test('a password of Redis that is rotated is picked up from its file', async ({ cluster, namespace, ns }) => {
  await applyCrd(cluster)
  const redis = await startRedis({ args: ['--requirepass', 'one'], password: 'one' })
  const look = looker(cluster, namespace)
  const password = join(redis.dir, 'password')
  writeFileSync(password, 'one')
  const connections = join(redis.dir, 'connections.yaml')
  const url = `redis://127.0.0.1:${redis.port}`
  writeFileSync(
    connections,
    `connections: { default: { url: '${url}', passwordFile: ${password}, namespace: '${ns}' } }`,
  )
  await cluster.apply([pool(), scalerManifest('s', { ...QUICK, minReplicas: 1 })], { namespace })
  await startController({ cluster, namespace, redis: url, ns, args: ['--connections', connections] })
  await look.reaches(1)
  const client = redis.client()
  await client.config('SET', 'requirepass', 'two')
  await client.call('client', 'kill', 'type', 'normal', 'skipme', 'yes')
  await waitFor(async () => (await look.condition('Ready')) === 'False RedisUnavailable', { timeoutMs: 30_000 })
  expect(await look.replicas()).toBe(1)
  writeFileSync(password, 'two')
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling', { timeoutMs: 40_000 })
})
