import { expect } from 'vitest'
import { startRedis } from '../support/redis.ts'
import { never, waitFor } from '../support/wait.ts'
import { startFakeFleet } from './fakefleet.ts'
import { isReady, pool, QUICK, scalerManifest, stage, stageKind, startController } from './scaling.ts'
import { test } from './support/fixtures.ts'

test('what stands in the way is said, and nothing is written until it is gone', async ({
  scene,
  cluster,
  namespace,
  redis,
  ns,
}) => {
  const look = await stageKind(scene)
  await cluster.apply([scalerManifest('s', QUICK)], { namespace })
  await startController(scene)
  await waitFor(async () => (await look.condition('Ready')) === 'False TargetNotFound')
  const status = await look.status()
  expect(status.conditions?.map(({ type }) => type).sort()).toEqual([
    'Active',
    'DrainSupported',
    'Paused',
    'QueuesMatch',
    'Ready',
    'ScalingLimited',
  ])
  await cluster.apply([pool({ replicas: 1 })], { namespace })
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  const fleet = startFakeFleet(scene)
  await look.settled(1)
  await fleet.follow()
  await look.reaches(0)

  // A younger scaler of the same Deployment writes nothing.
  await cluster.apply([scalerManifest('younger', { ...QUICK, minReplicas: 4 })], { namespace })
  await waitFor(async () => (await look.condition('Ready', 'younger')) === 'False TargetConflict')
  await never(2500, async () => (await look.replicas()) > 0)
  expect(await look.condition('Ready')).toBe('True Scaling')
  await look.remove('s')
  await look.reaches(4)
  await look.remove('younger')

  // A connection that is not configured.
  await cluster.apply(
    [pool({ name: 'v' }), scalerManifest('t', { ...QUICK, scaleTargetRef: { name: 'v' }, redis: { name: 'no' } })],
    { namespace },
  )
  await waitFor(async () => (await look.condition('Ready', 't')) === 'False ConnectionUnknown')
  await look.edit({ redis: { name: 'default' } }, 't')
  await waitFor(async () => (await look.condition('Ready', 't')) === 'True Scaling')

  // Paused: work waits, the status says so, nothing is written.
  await look.edit({ paused: true }, 't')
  await waitFor(async () => (await look.condition('Paused', 't')) === 'True Paused')
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, '{"class":"A","args":[]}')
  await waitFor(async () => (await look.condition('Active', 't')) === 'True JobsPresent')
  expect(await look.replicas('v')).toBe(0)
  await look.edit({ paused: false }, 't')
  await look.reaches(1, 'v')
  await waitFor(async () => (await look.pods('v')).some(isReady))
  await fleet.follow()

  // A paused queue asks for nobody.
  await redis.set(`${ns}:ext:paused`, '["q"]')
  await waitFor(async () => (await look.condition('Active', 't')) === 'False QueuePaused')
  await look.reaches(0, 'v')
})

test('two controllers in one namespace, each with its own Redis: neither judges the scaler of the other', async ({
  scene,
  cluster,
  namespace,
  redis,
  ns,
}) => {
  const look = await stageKind(scene)
  const scaler = scalerManifest('s', { ...QUICK, target: { jobsPerReplica: 1 } })
  const servedBy = (name: string): typeof scaler => ({
    ...scaler,
    metadata: { name: 's', annotations: { 'resqueue.dev/controller': name } },
  })
  await cluster.apply([pool({ name: 'v', replicas: 2 }), pool({ replicas: 3 }), servedBy('one')], { namespace })
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, ...Array.from({ length: 3 }, () => '{"class":"A","args":[]}'))
  // In its Redis nothing waits, and workers that do nothing are registered: it would take the pods for idle.
  const other = { ...scene, ns: `${ns}:two` }
  const two = await startController(other, { args: ['--lease-name', 'two'] })
  await waitFor(async () => (await two.get('/readyz')).status === 200)
  const ready = async (): Promise<number> => [...(await look.pods()), ...(await look.pods('v'))].filter(isReady).length
  await waitFor(async () => (await ready()) === 5)
  await startFakeFleet(other).follow()
  await cluster.apply([scalerManifest('t', { ...QUICK, scaleTargetRef: { name: 'v' } })], { namespace })
  await look.reaches(0, 'v')
  expect([await look.replicas(), await look.status()]).toEqual([3, {}])
  await look.remove('t')

  await startController(scene, { args: ['--lease-name', 'one'] })
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  await never(4000, async () => (await look.replicas()) !== 3, 'the pods of the other were taken away')

  // By its full name, and to another controller.
  await cluster.apply([servedBy(`${namespace}/two`)], { namespace })
  await look.reaches(0)
})

test('with Redis away replicas stay where they are, and it is said', async ({ scene, cluster, namespace }) => {
  const redis = await startRedis()
  const ours = { ...scene, redisUrl: redis.url }
  const look = await stageKind(scene)
  await cluster.apply([pool({ replicas: 3 }), scalerManifest('s', { ...QUICK, minReplicas: 3 })], { namespace })
  await look.settled(3)
  await startFakeFleet(ours).follow()
  const controller = await startController(ours)
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  redis.pause()
  await look.edit({ minReplicas: 0 })
  await waitFor(async () => (await look.condition('Ready')) === 'False RedisUnavailable')
  await never(5000, async () => (await look.replicas()) !== 3, 'replicas moved')
  expect(
    await controller.metric(`resqueue_scaler_held{namespace="${namespace}",name="s",reason="RedisUnavailable"}`),
  ).toBe(1)
  redis.resume()
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  await look.reaches(0)
  const reasons = (await look.events()).map(({ reason }) => reason)
  expect(reasons).toEqual(expect.arrayContaining(['RedisUnavailable', 'RedisRecovered']))
})

test('one manual scale is corrected; a rival that undoes every write is left to it', async ({ scene }) => {
  const look = await stage(scene, pool({ replicas: 2 }), { ...QUICK, minReplicas: 2, maxReplicas: 2 })
  await startController(scene)
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  await look.scale(1)
  await look.reaches(2)
  expect(await look.condition('Ready')).toBe('True Scaling')
  const rival = setInterval(() => void look.scale(1), 200)
  try {
    await waitFor(async () => (await look.condition('Ready')) === 'False ReplicasContested')
    await waitFor(async () => (await look.replicas()) === 1)
    await never(3000, async () => (await look.replicas()) !== 1, 'it was written on')
  } finally {
    clearInterval(rival)
  }
  expect((await look.events()).map(({ reason }) => reason)).toContain('ReplicasContested')
  // A new spec is a new start.
  await look.edit({ minReplicas: 3, maxReplicas: 3 })
  await look.reaches(3)
})

test('a dry run writes the status and no scale', async ({ scene }) => {
  const look = await stage(scene, pool({ replicas: 1 }), { ...QUICK, minReplicas: 4 })
  await startController(scene, { args: ['--dry-run'] })
  await waitFor(async () => (await look.condition('Ready')) === 'True DryRun')
  await waitFor(async () => (await look.status()).desiredReplicas === 4)
  await never(2500, async () => (await look.replicas()) !== 1)
})

test('queues that several list are shared out, and workers of other queues are noticed', async ({
  scene,
  cluster,
  namespace,
  redis,
  ns,
}) => {
  const look = await stageKind(scene)
  const one = { ...QUICK, target: { jobsPerReplica: 1 }, maxReplicas: 10 }
  await cluster.apply(
    [
      pool(),
      pool({ name: 'v' }),
      scalerManifest('s', one),
      scalerManifest('t', { ...one, scaleTargetRef: { name: 'v' }, queues: ['*'], maxReplicas: 30 }),
      // Left behind by a Deployment that is gone: it has no share.
      scalerManifest('u', { ...one, scaleTargetRef: { name: 'gone' }, maxReplicas: 1000 }),
    ],
    { namespace },
  )
  await startController(scene)
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, ...Array.from({ length: 8 }, () => '{"class":"A","args":[]}'))
  await waitFor(async () => (await look.condition('QueuesMatch')) === 'True QueueShared')
  // 8 jobs, one part to three.
  await look.reaches(2)
  await look.reaches(6, 'v')
  const fleet = startFakeFleet(scene, { queue: 'other' })
  await waitFor(async () => (await fleet.follow()).length === 8)
  await waitFor(async () => (await look.condition('QueuesMatch')) === 'False QueuesDiffer')
})
