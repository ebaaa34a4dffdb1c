import { expect } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import { openApiServer, type ApiServer } from '../../src/controller/apiserver.ts'
import { createDrain } from '../../src/controller/drain.ts'
import type { Fleet } from '../../src/controller/observe.ts'
import { podOf, type Pod, type PodObject } from '../../src/controller/pods.ts'
import { collection, getScale, listAll, PODS, type Scale } from '../../src/controller/resources.ts'
import { createViewer } from '../../src/controller/view.ts'
import { silentLogger } from '../../src/log.ts'
import { openStore } from '../../src/redis/store.ts'
import { scalerOf } from '../support/scaler.ts'
import { own } from '../support/scope.ts'
import { startApiProxy } from './apiproxy.ts'
import { startFakeFleet } from './fakefleet.ts'
import { looker, pool } from './scaling.ts'
import { test, type Scene } from './support/fixtures.ts'
import type { ControlPlane } from './support/controlplane.ts'

// A drain step by step, with a clock that only the test moves, while the controller manager stands still.

interface Draining {
  pods(): Promise<readonly Pod[]>
  replicas(): Promise<number>
  /** One step, in no time: its kind, and why where it waits. */
  step(desired: number): Promise<string>
  /** Until the scale is lowered to this number, or something has changed meanwhile; a second for each step. */
  lower(desired: number): Promise<string>
  /** A turn in which nothing is to be lowered, with so many replicas wanted. */
  tidy(replicas: number): Promise<void>
  pass(seconds: number): void
  /** The term ends at the next list of pods, before it is answered. */
  loseTerm(): void
  /** A pod is of another rollout than the others from the next list of pods on, before it is answered. */
  rollOut(): void
}

/** So many pods of one slot, each with an idle worker. */
async function startDraining(plane: ControlPlane, scene: Scene, replicas: number, fleet: Fleet): Promise<Draining> {
  const { namespace, redisUrl, ns } = scene
  await plane.apply([pool({ replicas })], { namespace })
  await looker(scene).settled(replicas)
  await startFakeFleet(scene).follow()
  plane.controllerManager.pause()

  const { url: server } = await startApiProxy(plane.access)
  const direct = openApiServer({ server, namespace, auth: async () => ({ headers: {}, tls: {} }) })
  const store = openStore({ url: redisUrl, namespace: ns })
  own('drain', () => {
    direct.close()
    store.close()
  })
  let leads = true
  let meanwhile = async (): Promise<unknown> => undefined
  const api: ApiServer = {
    ...direct,
    request: async (asked) => {
      if (asked.path.endsWith('/pods')) await meanwhile()
      return direct.request(asked)
    },
  }
  const pods = async (): Promise<readonly Pod[]> =>
    (await listAll<PodObject>(direct, collection(PODS, namespace))).items.map(podOf)
  const scale = async (): Promise<Scale> => {
    const reply = await getScale(direct, namespace, 'w')
    if (reply.kind !== 'ok') throw new Error(`There is no scale: ${reply.kind}`)
    return reply.scale
  }

  let aheadMs = 0
  const clock: Clock = { now: () => Date.now(), monotonic: () => aheadMs }
  const drain = createDrain(silentLogger, clock)
  const signal = AbortSignal.timeout(120_000)
  const viewer = createViewer(store, signal, clock)
  const term = { token: 'me', since: clock.monotonic(), signal, valid: () => leads }
  const scaler = { ...scalerOf({ scaleTargetRef: { name: 'w' }, queues: ['q'] }), namespace }
  const hands = async () => ({ api, store, term, queues: ['q'], pods: await pods() })
  const step = async (desired: number): Promise<string> => {
    const done = await drain.step({
      ...(await hands()),
      scaler,
      scale: await scale(),
      view: await viewer.look(0),
      fleet,
      waiting: 0,
      desired,
      sending: () => undefined,
      record: () => undefined,
    })
    return done.kind === 'waiting' ? `waiting: ${done.why}` : done.kind
  }
  const lower = async (desired: number): Promise<string> => {
    const said = await step(desired)
    aheadMs += 1000
    return said.startsWith('waiting') ? lower(desired) : said
  }
  return {
    pods,
    replicas: async () => (await scale()).replicas,
    step,
    lower,
    tidy: async (wanted) => drain.tidy({ ...(await hands()), replicas: wanted }),
    pass: (seconds) => void (aheadMs += seconds * 1000),
    loseTerm: () => void (meanwhile = async () => (leads = false)),
    rollOut: () =>
      void (meanwhile = async () => {
        const [{ name } = { name: '' }] = await pods()
        await direct.request({
          method: 'PATCH',
          path: `/api/v1/namespaces/${namespace}/pods/${name}`,
          contentType: 'application/merge-patch+json',
          body: { metadata: { labels: { 'pod-template-hash': 'new' } } },
        })
      }),
  }
}

async function stageDrain(
  startPlane: () => Promise<ControlPlane>,
  where: Pick<Scene, 'redisUrl' | 'ns'>,
  replicas: number,
  fleet: Fleet = 'ours',
): Promise<Draining> {
  const plane = await startPlane()
  return startDraining(plane, { ...where, cluster: plane, namespace: await plane.namespace() }, replicas, fleet)
}

/** Of a drain to one replica the steps up to the deletion costs, which are young then. */
async function writeCosts(drain: Draining): Promise<void> {
  expect(await drain.step(1)).toMatch(/^waiting: .* still run jobs, or may$/)
  drain.pass(1)
  expect(await drain.step(1)).toMatch(/^waiting: .* are idle$/)
}

const markOf = (ns: string, { namespace, uid }: Pod): string => `${ns}:ext:draining:${namespace}/${uid}`

test('a pod that was given up works again 30 s after there is room for it, however late Kubernetes is', async ({
  startPlane,
  redis,
  redisUrl,
  ns,
}) => {
  const drain = await stageDrain(() => startPlane({ nodes: 1 }), { redisUrl, ns }, 3)
  expect(await drain.lower(1)).toBe('scaled')
  expect(await drain.replicas()).toBe(1)
  const marks = async (): Promise<number> => redis.exists(...(await drain.pods()).map((pod) => markOf(ns, pod)))
  expect(await marks()).toBe(2)
  // The ReplicaSet has not acted when all three are wanted again: it may still act on the one.
  for (const [seconds, replicas, marked] of [
    [40, 1, 2],
    [1, 3, 2],
    [28, 3, 2],
    [2, 3, 0],
  ] as const) {
    drain.pass(seconds)
    await drain.tidy(replicas)
    expect(await marks(), `after ${seconds} s more with ${replicas} replicas`).toBe(marked)
  }
})

test('the scale is lowered a second after the deletion costs were written, however soon it is looked at again', async ({
  startPlane,
  redisUrl,
  ns,
}) => {
  const drain = await stageDrain(() => startPlane({ nodes: 1 }), { redisUrl, ns }, 2)
  await writeCosts(drain)
  for (const seconds of [0, 0.5, 0.4]) {
    drain.pass(seconds)
    expect(await drain.step(1)).toBe('waiting: deletion costs were just written')
    expect(await drain.replicas()).toBe(2)
  }
  drain.pass(0.1)
  expect(await drain.step(1)).toBe('scaled')
  expect(await drain.replicas()).toBe(1)
})

test('workers that know no marks are idle once two looks a poll apart have found them so', async ({
  startPlane,
  redisUrl,
  ns,
}) => {
  const drain = await stageDrain(() => startPlane({ nodes: 1 }), { redisUrl, ns }, 2, 'foreign')
  for (const seconds of [0, 1, 0.9]) {
    drain.pass(seconds)
    expect(await drain.step(1)).toMatch(/^waiting: w-\S+ still run jobs, or may$/)
  }
  drain.pass(0.1)
  expect(await drain.step(1)).toMatch(/^waiting: w-\S+ are idle$/)
  drain.pass(1)
  expect(await drain.step(1)).toBe('scaled')
})

test('a pod whose mark Redis has lost is not given up, and marked again at the next step', async ({
  startPlane,
  redis,
  redisUrl,
  ns,
}) => {
  const drain = await stageDrain(() => startPlane({ nodes: 1 }), { redisUrl, ns }, 2)
  await writeCosts(drain)
  drain.pass(1)
  const marks = (await drain.pods()).map((pod) => markOf(ns, pod))
  expect(await redis.del(...marks)).toBe(1)
  expect(await drain.step(1)).toBe('waiting: pods that would die first still run jobs')
  expect(await drain.replicas()).toBe(2)
  expect(await drain.step(1)).toBe('scaled')
  expect(await redis.exists(...marks)).toBe(1)
})

test('a rollout that began since the pods were watched is seen before the scale is lowered', async ({
  startPlane,
  redisUrl,
  ns,
}) => {
  const drain = await stageDrain(() => startPlane({ nodes: 1 }), { redisUrl, ns }, 3)
  await writeCosts(drain)
  drain.pass(1)
  drain.rollOut()
  expect(await drain.step(1)).toBe('waiting: a rollout is under way')
  expect(await drain.replicas()).toBe(3)
})

test('a leader whose term ends while it lowers a scale leaves no mark that lasts', async ({
  startPlane,
  redis,
  redisUrl,
  ns,
}) => {
  const drain = await stageDrain(() => startPlane({ nodes: 1 }), { redisUrl, ns }, 2)
  drain.loseTerm()
  expect(await drain.lower(0)).toBe('changed')
  expect(await drain.replicas()).toBe(2)
  for (const pod of await drain.pods()) expect(await redis.pttl(markOf(ns, pod))).toBeLessThanOrEqual(60_000)
})
