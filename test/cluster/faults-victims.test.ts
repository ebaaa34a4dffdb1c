import { expect } from 'vitest'
import { never, waitFor } from '../support/wait.ts'
import { startFakeFleet, type FakeFleet } from './fakefleet.ts'
import { looker, pool, QUICK, stage, startController } from './scaling.ts'
import { test, type Scene } from './support/fixtures.ts'

// Which pods Kubernetes gives up when a scale is lowered, beside what else goes on in a cluster.

const DEPTH = {
  ...QUICK,
  maxReplicas: 100,
  cooldownSeconds: 3600,
  // Plain depth: as many pods as jobs run, whatever is foreseen of jobs that never end.
  target: { jobsPerReplica: 1 },
}

interface Trials {
  readonly pods: number
  readonly busy: number
  readonly count: number
  /** Done when the pods to go are about to be chosen, and when the scale was lowered. */
  readonly before?: () => unknown
  readonly after?: () => unknown
}

/** Lowers the scale again and again to as many pods as work, other ones each time. Counts those of them that died. */
async function wrongVictims(scene: Scene, trials: Trials): Promise<number> {
  const { pods: all, busy: count } = trials
  const look = await stage(scene, pool({ replicas: all }), { ...DEPTH, minReplicas: all })
  const fleet: FakeFleet = startFakeFleet(scene)
  await look.settled(all)
  await startController(scene)
  let wrong = 0
  for (let trial = 0; trial < trials.count; trial++) {
    const pods = await look.settled(all)
    await fleet.follow()
    const busy = pods
      .toSorted(() => Math.random() - 0.5)
      .slice(0, count)
      .map(({ metadata }) => metadata.uid)
    // A pod that a controller has just let go is not free at once: one that others died for is out of work for half a
    // minute.
    const describe = (): string => `every pod takes a job; it was answered ${fleet.refusal}`
    for (const uid of busy) await waitFor(() => fleet.occupy(uid), { describe })
    await trials.before?.()
    await look.edit({ minReplicas: 0 })
    await look.reaches(count)
    await trials.after?.()
    await look.settled(count)
    wrong += await look.lost(busy)
    await Promise.all(busy.map((uid) => fleet.finish(uid)))
    await look.edit({ minReplicas: all })
    await look.reaches(all)
  }
  return wrong
}

test('beside the churn of 120 other pods the pods that work survive', async ({ scene, cluster, namespace }) => {
  await cluster.apply([pool({ name: 'churn', replicas: 120 })], { namespace })
  const look = looker(scene)
  await waitFor(async () => (await look.pods('churn')).length === 120)
  const over = new AbortController()
  let churned = 0
  const churn = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=app%3Dchurn&gracePeriodSeconds=0`
      await cluster.api.call('DELETE', path)
      churned++
      await waitFor(async () => over.signal.aborted || (await look.pods('churn')).length >= 60)
    }
  }
  const churning = churn()
  try {
    let before = 0
    const wrong = await wrongVictims(scene, {
      pods: 10,
      busy: 7,
      count: 4,
      before: () => (before = churned),
      after: () => waitFor(() => churned > before),
    })
    expect(wrong).toBe(0)
  } finally {
    over.abort()
    await churning
  }
})

test('of 60 pods the 40 that work survive', async ({ scene }) => {
  expect(await wrongVictims(scene, { pods: 60, busy: 40, count: 2 })).toBe(0)
})

test('a controller manager that was stopped while pods were chosen gives up no other ones when it goes on', async ({
  startPlane,
  redisUrl,
  ns,
}) => {
  const plane = await startPlane({ nodes: 1 })
  const wrong = await wrongVictims(
    { cluster: plane, namespace: await plane.namespace(), redisUrl, ns },
    {
      pods: 10,
      busy: 7,
      count: 2,
      before: () => plane.controllerManager.pause(),
      after: () => plane.controllerManager.resume(),
    },
  )
  expect(wrong).toBe(0)
})

test('a controller manager that comes back late finds those that were given up as they were', async ({
  startPlane,
  redisUrl,
  ns,
}) => {
  const plane = await startPlane({ nodes: 1 })
  const namespace = await plane.namespace()
  const look = looker({ cluster: plane, namespace })
  const givenUp = async (): Promise<number> =>
    (await look.pods()).filter(
      ({ metadata }) => metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] === '-1000000',
    ).length
  const wrong = await wrongVictims(
    { cluster: plane, namespace, redisUrl, ns },
    {
      pods: 10,
      busy: 7,
      count: 1,
      before: () => plane.controllerManager.pause(),
      // Longer than pods that others died for stay out of work.
      after: async () => {
        await never(34_000, async () => (await givenUp()) !== 3, 'one of them works again')
        plane.controllerManager.resume()
      },
    },
  )
  expect(wrong).toBe(0)
})
