import { expect } from 'vitest'
import { never, waitFor } from '../support/wait.ts'
import { pool, QUICK, stage, stageFleet, startController } from './scaling.ts'
import { test } from './support/fixtures.ts'

interface Lease {
  readonly spec: { readonly holderIdentity: string; readonly leaseTransitions: number; readonly renewTime: string }
}

test('of two controllers one leads; a killed one is followed, a stopped one writes nothing when it wakes', async ({
  scene,
  cluster,
  namespace,
}) => {
  const look = await stage(scene, pool(), { ...QUICK, minReplicas: 1, maxReplicas: 20 })
  const lease = (): Promise<Lease> =>
    cluster.api.get(`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/resqueue-controller`)
  const start = (name: string) => startController(scene, { env: { POD_NAME: name } })
  const first = await start('one')
  await first.says('leading')
  const second = await start('two')
  await look.reaches(1)
  expect((await lease()).spec.holderIdentity).toMatch(/^one_/)
  expect((await lease()).spec.renewTime).toMatch(/\.\d{6}Z$/)
  expect([await first.metric('resqueue_leader'), await second.metric('resqueue_leader')]).toEqual([1, 0])
  expect((await second.get('/readyz')).status).toBe(200)

  // Stopped for longer than its lease lasts: the second takes over, and the first finds out before it writes.
  first.process.pause()
  await second.says('leading')
  await look.edit({ minReplicas: 3 })
  await look.reaches(3)
  const { leaseTransitions } = (await lease()).spec
  first.process.resume()
  const { code } = await first.process.waitForExit()
  expect(code).toBe(1)
  await never(1000, async () => (await look.replicas()) !== 3)
  expect((await lease()).spec).toMatchObject({ holderIdentity: expect.stringMatching(/^two_/), leaseTransitions })

  // Ended in order, it gives the lease back: the next one leads at once.
  const third = await start('three')
  await never(3000, () => third.log.some(({ msg }) => msg === 'leading'))
  second.process.signal('SIGTERM')
  expect((await second.process.waitForExit()).code).toBe(0)
  await third.says('leading', 6000)
  await look.edit({ minReplicas: 4 })
  await look.reaches(4)

  // Killed: its successor waits for the lease to end, and goes on.
  const fourth = await start('four')
  await third.process.kill()
  await look.edit({ minReplicas: 5 })
  await fourth.says('leading')
  await look.reaches(5)
})

test('pods that were given up take no job while the controller manager is away, whoever leads and however it is held', async ({
  startPlane,
  redis,
  redisUrl,
  ns,
}) => {
  const cluster = await startPlane({ nodes: 1 })
  const namespace = await cluster.namespace()
  const scene = { cluster, namespace, redisUrl, ns }
  const spec = { ...QUICK, minReplicas: 6, maxReplicas: 20, cooldownSeconds: 3600, target: { jobsPerReplica: 1 } }
  const { look, fleet, pods } = await stageFleet(scene, pool({ replicas: 6 }), spec)
  const uids = pods.map(({ metadata }) => metadata.uid)
  const [busy, idle] = [uids.slice(0, 4), uids.slice(4)]
  for (const uid of busy) expect(await fleet.occupy(uid)).toBe(true)
  const start = (name: string) => startController(scene, { env: { POD_NAME: name } })
  const marks = async (): Promise<number> =>
    Math.min(...(await Promise.all(idle.map((uid) => redis.pttl(`${ns}:ext:draining:${namespace}/${uid}`)))))
  /** Their marks last for more than ten minutes, also after a leader has had the time to take them away. */
  const stayMarked = () =>
    never(8000, async () => (await marks()) < 600_000 || (await fleet.occupy(idle[0] as string)), 'one works again')
  const first = await start('one')
  await first.says('leading')
  cluster.controllerManager.pause()
  await look.edit({ minReplicas: 0 })
  await look.reaches(4)
  await first.process.kill()
  const second = await start('two')
  await second.says('leading')
  await stayMarked()

  // There is room for them again: they work.
  await look.edit({ minReplicas: 6 })
  await look.reaches(6)
  await second.says('removed drain marks of an earlier leader')
  await waitFor(async () => (await marks()) === -2)

  // Given up once more, and the scaler is paused: under the same leader, and under another one.
  await look.edit({ minReplicas: 0 })
  await look.reaches(4)
  await look.edit({ paused: true })
  await waitFor(async () => (await look.condition('Paused')) === 'True Paused')
  await stayMarked()
  await second.process.kill()
  const third = await start('three')
  await third.says('leading')
  await stayMarked()
  cluster.controllerManager.resume()
  await waitFor(async () => (await look.lost(idle)) === 2)
  await look.settled(4)
  expect(await look.lost(busy)).toBe(0)
})
