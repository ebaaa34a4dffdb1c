import { expect } from 'vitest'
import type { Redis } from 'ioredis'
import { keysUnder } from '../support/redis.ts'
import { never, waitFor } from '../support/wait.ts'
import { startApiProxy, type ApiProxy } from './apiproxy.ts'
import { startFakeFleet, type FakeFleet } from './fakefleet.ts'
import { pool, QUICK, stage, startController, type Looker, type RunningController } from './scaling.ts'
import { test, type Scene } from './support/fixtures.ts'
import type { Pod } from './support/pod.ts'

interface Stage {
  readonly proxy: ApiProxy
  readonly fleet: FakeFleet
  readonly look: Looker
  readonly start: () => Promise<RunningController>
  readonly pods: () => Promise<readonly Pod[]>
  readonly marks: () => Promise<string[]>
  /** Uids of the pods that work: two of six. */
  readonly busy: readonly string[]
}

/** Six pods of which two work, behind a proxy of the API server. */
async function stageBehindProxy(scene: Scene, redis: Redis): Promise<Stage> {
  const spec = { ...QUICK, minReplicas: 6, maxReplicas: 20, cooldownSeconds: 3600 }
  const look = await stage(scene, pool({ replicas: 6 }), spec)
  const proxy = await startApiProxy(scene.cluster.access)
  const fleet = startFakeFleet(scene)
  const busy = (await look.settled(6)).slice(0, 2).map(({ metadata }) => metadata.uid)
  await fleet.follow()
  for (const uid of busy) expect(await fleet.occupy(uid)).toBe(true)
  const kubeconfig = await scene.cluster.kubeconfig('admin', { server: proxy.url })
  const start = () => startController(scene, { kubeconfig, args: ['--no-leader-elect'] })
  return {
    proxy,
    fleet,
    look,
    start,
    pods: look.pods,
    marks: () => keysUnder(redis, `${scene.ns}:ext:draining:`),
    busy,
  }
}

async function expectBusySurvive({ look, busy }: Stage): Promise<void> {
  expect(await look.lost(busy)).toBe(0)
}

test('a pod that is evicted right before the scale is lowered makes it begin anew', async ({
  scene,
  cluster,
  namespace,
  redis,
}) => {
  const set = await stageBehindProxy(scene, redis)
  const { proxy, fleet, look, pods, busy } = set
  let evicted: string | undefined
  const version = async (): Promise<string> => {
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments/w`
    return (await cluster.api.get<{ metadata: { resourceVersion: string } }>(path)).metadata.resourceVersion
  }
  proxy.on(/^PUT .*\/scale/, {
    kind: 'after',
    act: async () => {
      const before = await version()
      const victim = (await pods()).find(({ metadata }) => !busy.includes(metadata.uid))
      evicted = victim?.metadata.uid
      await cluster.api.call(
        'DELETE',
        `/api/v1/namespaces/${namespace}/pods/${victim?.metadata.name}?gracePeriodSeconds=0`,
      )
      // Its ReplicaSet has made another, and its Deployment knows: what the controller knows is old.
      await waitFor(async () => (await version()) !== before)
      await fleet.follow()
    },
  })
  await set.start()
  await look.edit({ minReplicas: 0 })
  await look.reaches(2)
  expect(evicted).toBeDefined()
  expect(proxy.requests.filter((line) => /^PUT .*\/scale/.test(line)).length).toBeGreaterThan(1)
  await waitFor(async () => (await pods()).length === 2)
  await expectBusySurvive(set)
})

test('an answer that is lost when the scale was lowered leaves those that were given up as they are', async ({
  startPlane,
  redis,
  redisUrl,
  ns,
}) => {
  const plane = await startPlane({ nodes: 1 })
  const namespace = await plane.namespace()
  const set = await stageBehindProxy({ cluster: plane, namespace, redisUrl, ns }, redis)
  const { proxy, look, pods, marks } = set
  proxy.on(/^PUT .*\/scale/, { kind: 'cut', afterBytes: 0 })
  await set.start()
  plane.controllerManager.pause()
  await look.edit({ minReplicas: 0 })
  await look.reaches(2)
  await never(5000, async () => (await marks()).length !== 4, 'one of them works again')
  plane.controllerManager.resume()
  await waitFor(async () => (await pods()).length === 2)
  await expectBusySurvive(set)
})

test.for([
  ['a deletion cost is written', /^PATCH .*\/pods\//],
  ['the pods are listed', /^GET .*\/pods\?labelSelector/],
  ['the scale is lowered', /^PUT .*\/scale/],
] as const)('killed when %s, the next one ends what was begun', async ([, step], { scene, redis }) => {
  const set = await stageBehindProxy(scene, redis)
  const { proxy, look, pods } = set
  const first = await set.start()
  proxy.on(step, { kind: 'after', act: () => first.process.kill() })
  await look.edit({ minReplicas: 0 })
  await waitFor(() => !first.process.running)
  await expectBusySurvive(set)
  await set.start()
  await look.reaches(2)
  await waitFor(async () => (await pods()).length === 2)
  await expectBusySurvive(set)
})

test('stopped until its marks have lapsed and its victims work again, it gives none of them up', async ({
  scene,
  redis,
}) => {
  const set = await stageBehindProxy(scene, redis)
  const { proxy, look, pods, fleet, marks } = set
  const controller = await set.start()
  const again: string[] = []
  proxy.on(/^GET .*\/pods\?labelSelector/, {
    kind: 'after',
    act: async () => {
      controller.process.pause()
      const lapsed = await marks()
      await redis.del(...lapsed)
      for (const key of lapsed.slice(0, 2)) {
        const uid = key.split('/').at(-1) as string
        expect(await fleet.occupy(uid)).toBe(true)
        again.push(uid)
      }
      controller.process.resume()
    },
  })
  await look.edit({ minReplicas: 0 })
  await waitFor(() => again.length === 2)
  // Four work now: nothing more may go than two.
  await look.reaches(4)
  await waitFor(async () => (await pods()).length === 4)
  await expectBusySurvive({ ...set, busy: [...set.busy, ...again] })
  await never(2000, async () => (await look.replicas()) < 4)
})

test('marks that Redis lost are set again before anything is given up', async ({ scene, redis }) => {
  const set = await stageBehindProxy(scene, redis)
  const { look, marks, proxy, pods } = set
  proxy.on(/^GET .*\/pods\?labelSelector/, { kind: 'after', act: async () => redis.del(...(await marks())) })
  await set.start()
  await look.edit({ minReplicas: 0 })
  await look.reaches(2)
  await waitFor(async () => (await pods()).length === 2)
  await expectBusySurvive(set)
})

test('while the API server refuses, and after it, nothing is given up that works', async ({ scene, redis }) => {
  const set = await stageBehindProxy(scene, redis)
  const { look, proxy, pods } = set
  await set.start()
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  proxy.on(/^(PUT|PATCH) /, { kind: 'status', status: 500 }, 6)
  proxy.on(/^GET .*\/scale/, { kind: 'status', status: 429, retryAfterSeconds: 1 }, 4)
  proxy.on(/^GET .*\/scale/, { kind: 'status', status: 401 }, 2)
  await look.edit({ minReplicas: 0 })
  // After so many failures the next try is up to a minute away.
  await look.reaches(2, 'w', 120_000)
  await waitFor(async () => (await pods()).length === 2)
  await expectBusySurvive(set)
})
