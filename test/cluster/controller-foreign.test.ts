import { expect } from 'vitest'
import { runCli } from '../support/process.ts'
import { never, waitFor } from '../support/wait.ts'
import { startFakeFleet } from './fakefleet.ts'
import { pool, QUICK, stage, startController } from './scaling.ts'
import { test } from './support/fixtures.ts'

const SINGLE = { ...QUICK, maxReplicas: 10, slotsPerReplica: 1 }

test('a fleet of Ruby workers is scaled by what the family shows of it, and none that works is given up', async ({
  scene,
  redis,
  ns,
}) => {
  const spec = { ...SINGLE, minReplicas: 4, target: { jobsPerReplica: 10 } }
  const look = await stage(scene, pool({ replicas: 4 }), spec)
  const { pods } = look
  await waitFor(async () => (await pods()).length === 4)
  // As Ruby's Resque registers: host, pid, queues.
  const ids = (await pods()).map(({ metadata }) => `${metadata.name}:1:q`)
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.sadd(`${ns}:workers`, ...ids)
  const busy = (id: string) =>
    redis.set(
      `${ns}:worker:${id}`,
      '{"queue":"q","run_at":"2026-11-23T00:00:00Z","payload":{"class":"Work","args":[]}}',
    )
  await busy(ids[0] as string)
  await startController(scene)
  await waitFor(async () => (await look.condition('DrainSupported')) === 'False ForeignWorkers')
  // While something waits, nobody is given up: these workers take it at any time.
  await redis.rpush(`${ns}:queue:q`, '{"class":"Work","args":[]}')
  await look.edit({ minReplicas: 0 })
  await waitFor(async () => (await look.status()).desiredReplicas === 1)
  await never(3000, async () => (await look.replicas()) < 4, 'a pod was given up')
  await redis.del(`${ns}:queue:q`)
  await look.reaches(1)
  await waitFor(async () => (await pods()).length === 1)
  expect((await pods()).map(({ metadata }) => `${metadata.name}:1:q`)).toEqual([ids[0]])
  await redis.del(`${ns}:worker:${ids[0]}`)
  await look.reaches(0)
})

test('a pod that is ready without a worker that Redis knows may run a job: it is not given up', async ({
  scene,
  redis,
  ns,
}) => {
  const look = await stage(scene, pool({ replicas: 3 }), { ...SINGLE, minReplicas: 3, target: { jobsPerReplica: 10 } })
  const { pods } = look
  await waitFor(async () => (await pods()).length === 3)
  const ids = (await pods()).map(({ metadata }) => `${metadata.name}:1:q`)
  await redis.sadd(`${ns}:workers`, ...ids)
  await startController(scene)
  await waitFor(async () => (await look.condition('DrainSupported')) === 'False ForeignWorkers')
  // As after FLUSHALL: workers of other programs go on and do not register again.
  await redis.del(`${ns}:workers`)
  await look.edit({ minReplicas: 0 })
  await waitFor(async () => (await look.status()).desiredReplicas === 0)
  await never(5000, async () => (await look.replicas()) < 3, 'a pod was given up')
  expect(await look.condition('DrainSupported')).toBe('Unknown NoWorkers')
  await redis.sadd(`${ns}:workers`, ...ids)
  await look.reaches(0)
})

test('workers that do not know the namespace of their pod find no drain mark: their pods are given up like those of other programs', async ({
  scene,
  redis,
  ns,
}) => {
  const target = { jobsPerReplica: 10 }
  const look = await stage(scene, pool({ replicas: 3 }), { ...SINGLE, minReplicas: 3, target })
  await look.settled(3)
  const fleet = startFakeFleet(scene, { podNamespace: '' })
  await fleet.follow()
  await startController(scene)
  await waitFor(async () => (await look.condition('DrainSupported')) === 'False WorkersLackNamespace')
  expect(await look.condition('QueuesMatch')).toBe('True QueuesMatch')
  // A mark would not keep them from what waits.
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, '{"class":"Work","args":[]}')
  await look.edit({ minReplicas: 0 })
  await waitFor(async () => (await look.status()).desiredReplicas === 1)
  await never(3000, async () => (await look.replicas()) < 3, 'a pod was given up')
  await redis.del(`${ns}:queue:q`)
  await look.reaches(0)
})

test('the command line shows scalers and the terms behind a decision', async ({
  scene,
  cluster,
  namespace,
  redis,
  ns,
}) => {
  const look = await stage(scene, pool(), { ...SINGLE, target: { jobsPerReplica: 2 } })
  await startController(scene)
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, ...Array.from({ length: 6 }, () => '{"class":"A","args":[]}'))
  await look.reaches(3)
  await waitFor(async () => (await look.status()).replicas === 3)
  const where = ['-n', namespace, '--kubeconfig', await cluster.kubeconfig()]
  const ls = await runCli(['scaler', 'ls', ...where, '-o', 'json'])
  expect(JSON.parse(ls.stdout)).toMatchObject([
    { name: 's', target: 'w', replicas: 3, desired_replicas: 3, waiting: 6, ready: 'True', reason: 'Scaling' },
  ])
  const explain = await runCli(['scaler', 'explain', 's', ...where, '-o', 'json'])
  expect(JSON.parse(explain.stdout)).toMatchObject({
    status: { demand: { backlog: 3 } },
    events: [{ reason: 'SuccessfulRescale', note: 'Scaled from 0 to 3 replicas: Depth' }],
  })
  const people = await runCli(['scaler', 'explain', 's', ...where])
  expect(people.stdout).toMatch(/backlog +3 /)
  const missing = await runCli(['scaler', 'explain', 'no', ...where])
  expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('There is no WorkerScaler no')])
  const nobody = await runCli(['scaler', 'ls', '--kubeconfig', '/nowhere'])
  expect(nobody.code).toBe(78)
})
