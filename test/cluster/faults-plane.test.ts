import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { runCli } from '../support/process.ts'
import { startRedis } from '../support/redis.ts'
import { never, waitFor } from '../support/wait.ts'
import { startFakeFleet } from './fakefleet.ts'
import {
  CRD,
  looker,
  pool,
  QUICK,
  scalerManifest,
  stage,
  stageKind,
  startController,
  type Deployment,
} from './scaling.ts'
import { startControlPlane } from './support/controlplane.ts'
import { test } from './support/fixtures.ts'
import type { Pod } from './support/pod.ts'

/** As it was before `protect`, and before a queue could hold no comma. */
const OLDER_CRD = CRD.replace(/^ {16}protect:\n(?: {18}.*\n)+/m, '').replace(
  /^ *- rule: .*contains\(','\).*\n.*\n/m,
  '',
)

test('with an older CRD it says so and works; an API server that restarts is found again', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const plane = await startControlPlane({ nodes: 1 })
  const namespace = await plane.namespace()
  const look = looker({ cluster: plane, namespace })
  await plane.apply(OLDER_CRD)
  await waitFor(async () => (await plane.api.call('GET', '/apis/resqueue.dev/v1alpha1/workerscalers')).status === 200)
  await plane.apply([pool(), scalerManifest('s', QUICK)], { namespace })
  const start = () => startController({ cluster: plane, namespace, redisUrl, ns }, { inPod: true })
  const controller = await start()
  await waitFor(async () => (await look.condition('Ready')) === 'True CRDOutdated')
  const ready = (await look.status()).conditions?.find(({ type }) => type === 'Ready')
  expect(ready?.message).toContain('spec.protect')
  // It lets through what the controller does not serve.
  await plane.apply([scalerManifest('unfit', { ...QUICK, queues: ['a,b'] })], { namespace })
  await waitFor(async () => (await look.condition('Ready', 'unfit')) === 'False InvalidSpec')
  const ls = await runCli(['scaler', 'ls', '-n', namespace, '--kubeconfig', await plane.kubeconfig(), '-o', 'json'])
  expect(JSON.parse(ls.stdout)).toMatchObject([{ name: 's' }])
  expect(ls.stderr).toMatch(new RegExp(`^${namespace}/unfit cannot be used: spec\\.queues\\[0\\]`))

  // Away for less time than the lease may go unrenewed: nothing is lost but time. Told to stop it would wait for watches.
  const killedAt = performance.now()
  await plane.apiServer.kill()
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, '{"class":"A","args":[]}')
  await waitFor(async () => ((await controller.metric('resqueue_kube_requests_failed_total')) ?? 0) > 2)
  await plane.apiServer.start()
  await plane.ready()
  // A slow machine may take longer: then the controller may end, and Kubernetes starts another.
  const isShort = performance.now() - killedAt < 5000
  if (!isShort) await start()
  await look.reaches(1)
  if (isShort) expect(controller.process.running).toBe(true)
  await plane.stop()
})

/** A pool whose pods find no node. */
function homelessPool(name: string): Deployment {
  const { spec, ...rest } = pool({ name })
  const template = { ...spec.template, spec: { ...spec.template.spec, nodeSelector: { nowhere: 'yes' } } }
  return { ...rest, spec: { ...spec, template } }
}

test('pods that find no node, or start in vain, are not ordered by the dozen', async ({
  scene,
  cluster,
  namespace,
  redis,
  ns,
}) => {
  const look = await stageKind(scene)
  const spec = { ...QUICK, maxReplicas: 30, target: { jobsPerReplica: 1 } }
  await cluster.apply(
    [
      homelessPool('v'),
      pool({ annotations: { 'resqueue.test/ready': 'false' } }),
      scalerManifest('s', { ...spec, queues: ['crash'] }),
      scalerManifest('t', { ...spec, scaleTargetRef: { name: 'v' } }),
    ],
    { namespace },
  )
  await startController(scene)
  await redis.sadd(`${ns}:queues`, 'q', 'crash')
  for (const queue of ['q', 'crash']) await redis.rpush(`${ns}:queue:${queue}`, '{"class":"A","args":[]}')
  await look.reaches(1)
  await look.reaches(1, 'v')
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
  // Unschedulable for a minute. By then the controller knows of the restarts as well.
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
  for (const queue of ['q', 'crash'])
    await redis.rpush(`${ns}:queue:${queue}`, ...Array.from({ length: 20 }, () => '{"class":"A","args":[]}'))
  await waitFor(async () => (await look.condition('ScalingLimited')) === 'True PodsNotStarting', {
    describe: async () => JSON.stringify([await look.status(), await cluster.api.get(path)]),
  })
  await waitFor(async () => (await look.condition('ScalingLimited', 't')) === 'True Unschedulable')
  await never(2000, async () => (await look.replicas()) + (await look.replicas('v')) > 2, 'more of them were ordered')
})

test('a controller whose clock is two minutes ahead does not take pods for old', async ({
  scene,
  cluster,
  namespace,
  redis,
  ns,
}) => {
  const look = await stageKind(scene)
  const spec = { ...QUICK, maxReplicas: 30, target: { jobsPerReplica: 1 }, scaleTargetRef: { name: 'v' } }
  await cluster.apply([homelessPool('v'), scalerManifest('s', spec)], { namespace })
  const ahead = 'const now=Date.now;Date.now=()=>now()+120000'
  await startController(scene, { env: { NODE_OPTIONS: `--import=data:text/javascript,${ahead.replace(' ', '%20')}` } })
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, '{"class":"A","args":[]}')
  await look.reaches(1, 'v')
  await waitFor(async () => {
    const [pod] = await look.pods('v')
    return pod?.status?.conditions?.some(({ type, status }) => type === 'PodScheduled' && status === 'False')
  })
  await redis.rpush(`${ns}:queue:q`, ...Array.from({ length: 9 }, () => '{"class":"A","args":[]}'))
  await look.reaches(10, 'v')
  expect(Date.parse((await look.status())['lastScaleTime'] as string)).toBeGreaterThan(Date.now() + 60_000)
})

test('a poison job at the head that comes back again and again orders no pods by its old timestamp', async ({
  scene,
  redis,
  ns,
}) => {
  const look = await stage(scene, pool(), { ...QUICK, maxReplicas: 50, slotsPerReplica: 1 })
  const fleet = startFakeFleet(scene)
  await startController(scene)
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, '{"class":"Poison","args":[],"queue_time":1600000000.5}')
  await look.reaches(1)
  const [pod] = await look.settled(1)
  const { uid } = (pod as Pod).metadata
  await fleet.follow()
  let crashes = 0
  const crash = async (): Promise<void> => {
    await waitFor(() => fleet.take(uid))
    await fleet.restart(uid)
    crashes++
  }
  await never(
    10_000,
    async () => {
      await crash()
      return (await look.replicas()) > 2
    },
    'pods were ordered',
  )
  expect(crashes).toBeGreaterThan(20)
})

test('a password of Redis that is rotated is picked up from its file; meanwhile replicas stay', async ({
  scene,
  cluster,
  namespace,
  ns,
}) => {
  const redis = await startRedis({ args: ['--requirepass', 'one'], password: 'one' })
  const look = await stageKind(scene)
  // As a kubelet lays a Secret out: the folder behind a link is exchanged as a whole.
  const secret = (version: string, password: string): void => {
    mkdirSync(join(redis.dir, version))
    writeFileSync(join(redis.dir, version, 'password'), password)
    symlinkSync(version, join(redis.dir, 'data-new'))
    renameSync(join(redis.dir, 'data-new'), join(redis.dir, 'data'))
  }
  secret('v1', 'one')
  const connections = join(redis.dir, 'connections.yaml')
  const url = `redis://127.0.0.1:${redis.port}`
  const passwordFile = join(redis.dir, 'data', 'password')
  writeFileSync(
    connections,
    `connections: { default: { url: '${url}', passwordFile: ${passwordFile}, namespace: '${ns}' } }`,
  )
  await cluster.apply([pool(), scalerManifest('s', { ...QUICK, minReplicas: 1 })], { namespace })
  const controller = await startController({ ...scene, redisUrl: url }, { args: ['--connections', connections] })
  await look.reaches(1)
  const client = redis.client()
  await client.config('SET', 'requirepass', 'two')
  await client.call('client', 'kill', 'type', 'normal', 'skipme', 'yes')
  const held = async (): Promise<void> => {
    // The first look may tell of the connection that was lost; a message alone is written anew after ten seconds.
    await waitFor(
      async () => {
        const ready = (await look.status()).conditions?.find(({ type }) => type === 'Ready')
        return ready?.reason === 'RedisUnavailable' && /WRONGPASS|NOAUTH/.test(ready.message)
      },
      { describe: () => look.status() },
    )
  }
  await held()
  // Another wrong one: it is tried, and it is held on.
  secret('v2', 'wrong')
  await controller.says('the Redis connection changed and is reopened')
  await look.edit({ minReplicas: 3 })
  await waitFor(async () => (await look.status())['observedGeneration'] === 2)
  await held()
  expect(await look.replicas()).toBe(1)
  secret('v3', 'two')
  await look.reaches(3)
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  expect(controller.process.running).toBe(true)
  const reasons = (await look.events()).map(({ reason }) => reason)
  expect(reasons).toEqual(expect.arrayContaining(['RedisUnavailable', 'RedisRecovered']))
})
