import { expect } from 'vitest'
import type { Redis } from 'ioredis'
import { keysUnder } from '../support/redis.ts'
import { never, waitFor } from '../support/wait.ts'
import { startApiProxy } from './apiproxy.ts'
import { pool, QUICK, stageFleet, startController, type ControllerSetup, type FleetStage } from './scaling.ts'
import { test, type Scene } from './support/fixtures.ts'
import type { Pod } from './support/pod.ts'

/** So many pods, which the scaler keeps until it is told otherwise, and a controller. */
async function start(
  scene: Scene,
  replicas: number,
  more: object = {},
  slots = 1,
  setup: ControllerSetup = {},
): Promise<FleetStage> {
  const spec = { ...QUICK, minReplicas: replicas, maxReplicas: 20, cooldownSeconds: 3600, ...more }
  const staged = await stageFleet(scene, pool({ replicas }), spec, slots)
  await startController(scene, setup)
  return staged
}

const marksIn = (redis: Redis, ns: string): Promise<string[]> => keysUnder(redis, `${ns}:ext:draining:`)

const COST = 'controller.kubernetes.io/pod-deletion-cost'
/** Marks of pods that work on are taken away before they would lapse, which they do 40 to 60 s after. */
const TAKEN_AWAY = { timeoutMs: 20_000 }

type Meta = Pod['metadata']

test('of ten pods the three that work survive, whichever they are', async ({ scene, redis, ns }) => {
  // By jobs and not by time: on a slow machine these last long, and more pods would be wanted than there are jobs.
  const { fleet, look } = await start(scene, 10, { target: { jobsPerReplica: 1 } })
  let wrong = 0
  const trials = 5
  for (let trial = 0; trial < trials; trial++) {
    const pods = await look.settled(10)
    await fleet.follow()
    const busy = pods.toSorted(() => Math.random() - 0.5).slice(0, 3)
    // A pod that others died for is out of work for half a minute.
    const describe = (): string => `every pod takes a job; it was answered ${fleet.refusal}`
    for (const { metadata } of busy) await waitFor(() => fleet.occupy(metadata.uid), { describe })
    await look.edit({ minReplicas: 0 })
    await look.reaches(3)
    await look.settled(3)
    wrong += await look.lost(busy.map(({ metadata }) => metadata.uid))
    for (const { metadata } of busy) await fleet.finish(metadata.uid)
    await fleet.follow()
    await look.edit({ minReplicas: 10 })
    await look.reaches(10)
  }
  expect(wrong).toBe(0)
  await look.settled(10)
  // What the controller wrote on pods that stay is gone, and so are its marks on them.
  await waitFor(async () => (await look.pods()).every(({ metadata }) => metadata.annotations?.[COST] === undefined))
  const present = new Set((await look.pods()).map(({ metadata }) => metadata.uid))
  await waitFor(async () => (await marksIn(redis, ns)).every((key) => !present.has(key.split('/')[1] as string)))
})

test('a pod that is not ready and works holds the scale: it would die first', async ({ scene, cluster, namespace }) => {
  const { fleet, look } = await start(scene, 5)
  const [sick] = await look.pods()
  const { uid, name } = (sick as Pod).metadata
  expect(await fleet.occupy(uid)).toBe(true)
  await cluster.api.call('PATCH', `/api/v1/namespaces/${namespace}/pods/${name}/status`, {
    contentType: 'application/strategic-merge-patch+json',
    body: { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
  })
  await look.edit({ minReplicas: 0 })
  await waitFor(async () => (await look.status()).desiredReplicas === 1)
  await never(5000, async () => (await look.replicas()) < 5, 'the scale was lowered')
  expect((await look.pods()).map(({ metadata }) => metadata.uid)).toContain(uid)
  await fleet.finish(uid)
  await look.reaches(1)
})

test('pods that drain work on when work comes, before a new pod is ordered', async ({ scene, redis, ns }) => {
  const { fleet, look } = await start(scene, 3, {}, 4)
  const pods = await look.pods()
  for (const { metadata } of pods) expect(await fleet.occupy(metadata.uid)).toBe(true)
  await look.edit({ minReplicas: 0 })
  await waitFor(async () => (await look.status()).draining?.count === 2)
  const marked = (await marksIn(redis, ns)).map((key) => key.split('/')[1])
  expect(marked).toHaveLength(2)
  // A marked pod takes nothing more, and is not given up while it works.
  expect(await fleet.occupy(marked[0] as string)).toBe(false)
  await never(3000, async () => (await look.replicas()) !== 3, 'a working pod was given up')
  await look.edit({ minReplicas: 3 })
  await waitFor(async () => (await marksIn(redis, ns)).length === 0, TAKEN_AWAY)
  expect(await look.replicas()).toBe(3)
  expect(await fleet.occupy(marked[1] as string)).toBe(true)
  // Again, and now the jobs end.
  await look.edit({ minReplicas: 0 })
  await waitFor(async () => (await look.status()).draining?.count === 2)
  for (const uid of fleet.busy) await fleet.finish(uid)
  await look.reaches(1)
})

test('a pod that is idle long before the others goes alone, and the rest of a scale-down waits for no window', async ({
  scene,
  redis,
  ns,
}) => {
  const behavior = { scaleDown: { stabilizationWindowSeconds: 30 } }
  // Eight jobs in eight pods of four slots, of which four are wanted once the first window is over.
  const { fleet, look } = await start(scene, 8, { minReplicas: 4, target: { jobsPerReplica: 2 }, behavior }, 4)
  for (const { metadata } of await look.pods()) expect(await fleet.occupy(metadata.uid)).toBe(true)
  const marked = async (): Promise<string[]> =>
    (await marksIn(redis, ns)).map((key) => key.split('/')[1] as string).sort()
  const victims = await waitFor(
    async () => {
      const found = await marked()
      return found.length === 3 && found
    },
    { timeoutMs: 90_000, describe: async () => [await marked(), await look.status()] },
  )
  const [first, ...rest] = victims as [string, ...string[]]
  await fleet.finish(first)
  await look.reaches(7)
  const left = async (): Promise<number> => (await marked()).filter((uid) => rest.includes(uid)).length
  await never(3000, async () => (await left()) < rest.length, 'the others take jobs again')
  for (const uid of rest) {
    expect(await fleet.occupy(uid)).toBe(false)
    await fleet.finish(uid)
  }
  // The window is 30 s.
  await look.reaches(5, 'w', 20_000)
  await waitFor(async () => (await look.lost(victims)) === victims.length)
})

test('a pod that has nothing to do goes in place of one that was to go and whose job goes on', async ({
  scene,
  redis,
  ns,
}) => {
  const { fleet, look, pods } = await start(scene, 3, { target: { jobsPerReplica: 2 } }, 4)
  for (const { metadata } of pods) expect(await fleet.occupy(metadata.uid)).toBe(true)
  await look.edit({ minReplicas: 2 })
  const [marked] = await waitFor(async () => {
    const found = (await marksIn(redis, ns)).map((key) => key.split('/')[1] as string)
    return found.length === 1 && found
  })
  const free = pods.map(({ metadata }) => metadata.uid).find((uid) => uid !== marked) as string
  await fleet.finish(free)
  await look.reaches(2)
  await waitFor(async () => (await look.lost([free])) === 1)
  // The other takes jobs again.
  await waitFor(async () => (await marksIn(redis, ns)).every((key) => !key.endsWith(marked as string)), TAKEN_AWAY)
})

test('pods that end their jobs within a moment of each other go in one write', async ({ scene, redis, ns }) => {
  const { fleet, look } = await start(scene, 4, { target: { jobsPerReplica: 2 } }, 4)
  for (const { metadata } of await look.pods()) expect(await fleet.occupy(metadata.uid)).toBe(true)
  await look.edit({ minReplicas: 2 })
  const [first, second] = await waitFor(async () => {
    const found = (await marksIn(redis, ns)).map((key) => key.split('/')[1] as string)
    return found.length === 2 && (found as [string, string])
  })
  await fleet.finish(first)
  await never(2500, async () => (await look.replicas()) !== 4, 'the first goes alone')
  await fleet.finish(second)
  const seen = new Set([4])
  await waitFor(async () => seen.add(await look.replicas()).has(2))
  expect([...seen]).toEqual([4, 2])
  await waitFor(async () => (await look.lost([first, second])) === 2)
})

test('a pod that takes too long to drain works on and is never killed', async ({ scene }) => {
  const { fleet, look } = await start(scene, 2, { scaleDown: { drain: true, drainTimeoutSeconds: 2 } }, 4)
  for (const { metadata } of await look.pods()) expect(await fleet.occupy(metadata.uid)).toBe(true)
  await look.edit({ minReplicas: 0 })
  const { note } = await waitFor(async () => (await look.events()).find(({ reason }) => reason === 'DrainTimedOut'))
  // The one that it names takes jobs again.
  const late = (await look.pods()).find(({ metadata }) => note.startsWith(`${metadata.name} `))
  await waitFor(() => fleet.occupy((late as Pod).metadata.uid), TAKEN_AWAY)
  expect(await look.replicas()).toBe(2)
})

test('nothing is lowered in the middle of a rollout', async ({ scene, cluster, namespace }) => {
  // Plain depth: one job, one replica, whatever is foreseen of a job that does not end.
  const { look, fleet } = await start(scene, 4, { target: { jobsPerReplica: 1 } })
  const before = await look.pods()
  // Its new pods never get ready, so it stays where it is: old and new ones side by side.
  await cluster.api.call('PATCH', `/apis/apps/v1/namespaces/${namespace}/deployments/w`, {
    body: { spec: { template: { metadata: { annotations: { 'resqueue.test/ready': 'false' } } } } },
  })
  const isOld = ({ metadata }: Pod): boolean => before.some((one) => one.metadata.uid === metadata.uid)
  // One of four may be missing, and one more than four be there: three of the old ones stay, and two come.
  const old = await waitFor(async () => {
    const pods = await look.pods()
    return pods.length === 5 && pods.filter(isOld).length === 3 && pods.find(isOld)
  })
  expect(await fleet.occupy(old.metadata.uid)).toBe(true)
  await look.edit({ minReplicas: 1 })
  await waitFor(async () => (await look.status()).desiredReplicas === 1, {
    describe: () => look.status(),
  })
  await never(5000, async () => (await look.replicas()) < 4, 'the scale was lowered')
  expect((await look.status()).conditions?.find(({ type }) => type === 'Ready')?.message).toContain('rollout')
  // To zero it goes, once everything is idle.
  await fleet.finish(old.metadata.uid)
  await look.edit({ minReplicas: 0, cooldownSeconds: 1 })
  await look.reaches(0)
})

test('a deletion cost that another program writes over is written again, and in the end the pod works on', async ({
  scene,
  cluster,
  namespace,
}) => {
  const proxy = await startApiProxy(cluster.access)
  const kubeconfig = await cluster.kubeconfig('admin', { server: proxy.url })
  const { look, fleet, pods } = await start(scene, 3, { target: { jobsPerReplica: 1 } }, 1, { kubeconfig })
  const [one, two, idle] = pods.map(({ metadata }) => metadata) as [Meta, Meta, Meta]
  for (const { uid } of [one, two]) await waitFor(() => fleet.occupy(uid))
  const overwritten: unknown[] = []
  /** As Karpenter's cost management: when it sees ours it writes its own; here before the controller has its answer. */
  const overwrite = ({ name }: Meta, times: number): void => {
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`
    const act = async (): Promise<void> => {
      overwritten.push((await cluster.api.get<Pod>(path)).metadata.annotations?.[COST])
      await cluster.api.call('PATCH', path, { body: { metadata: { annotations: { [COST]: '5' } } } })
    }
    proxy.on(new RegExp(`^PATCH ${path}`), { kind: 'before-answer', act }, times)
  }
  overwrite(idle, 1)
  await look.edit({ minReplicas: 0 })
  await look.reaches(2)
  await waitFor(async () => (await look.lost([idle.uid])) === 1)
  expect(await look.lost([one.uid, two.uid])).toBe(0)
  expect(overwritten).toEqual(['-1000000'])

  overwrite(two, 4)
  await fleet.finish(two.uid)
  const { note } = await waitFor(async () => (await look.events()).find(({ reason }) => reason === 'DrainTimedOut'))
  expect(note).toBe(`${two.name} cannot be given up: another program writes deletion costs`)
  expect(overwritten).toEqual(Array.from({ length: 5 }, () => '-1000000'))
  await waitFor(() => fleet.occupy(two.uid), TAKEN_AWAY)
  expect(await look.replicas()).toBe(2)
})
