import { expect } from 'vitest'
import { waitFor } from '../support/wait.ts'
import { pool, stageFleet, startController } from './scaling.ts'
import { test } from './support/fixtures.ts'
import type { Pod } from './support/pod.ts'

const KARPENTER = 'karpenter.sh/do-not-disrupt'
const AUTOSCALER = 'cluster-autoscaler.kubernetes.io/safe-to-evict'
const MINUTE = 60_000

test('pods in which a job runs for more than a minute are kept from cluster autoscalers for as long', async ({
  scene,
  cluster,
  namespace,
}) => {
  const spec = {
    minReplicas: 3,
    maxReplicas: 3,
    pollingIntervalSeconds: 1,
    protect: ['karpenter', 'clusterAutoscaler'],
  }
  const { look, fleet, pods } = await stageFleet(scene, pool({ replicas: 3 }), spec)
  const [long, short, user] = pods.map(({ metadata }) => metadata) as [
    Pod['metadata'],
    Pod['metadata'],
    Pod['metadata'],
  ]
  const protectedPods = async (annotation: string): Promise<readonly string[]> =>
    (await look.pods())
      .filter(({ metadata }) => metadata.annotations?.[annotation] !== undefined)
      .map(({ metadata }) => metadata.uid)
      .sort()
  const found = async (): Promise<string> =>
    [await protectedPods(KARPENTER), await protectedPods(AUTOSCALER)].join(' | ')
  const shows = (karpenter: readonly string[], autoscaler: readonly string[]): Promise<unknown> => {
    const wanted = [karpenter.toSorted(), autoscaler.toSorted()].join(' | ')
    return waitFor(async () => (await found()) === wanted, {
      describe: async () => `${wanted}; there is ${await found()}`,
    })
  }
  // Somebody protects a pod by hand: that is theirs.
  await cluster.kubectl('annotate', '-n', namespace, 'pod', user.name, `${KARPENTER}=true`)

  for (const { uid } of [long, short]) expect(await fleet.occupy(uid)).toBe(true)
  await fleet.age(long.uid, MINUTE + 1000)
  await startController(scene)
  await shows([long.uid, user.uid], [long.uid])
  const pod = (await look.pods()).find(({ metadata }) => metadata.uid === long.uid)
  expect(pod?.metadata.annotations).toMatchObject({ [KARPENTER]: 'true', [AUTOSCALER]: 'false' })
  // The next job gets old, also while the scale is left alone; the first one ends.
  await look.edit({ paused: true })
  await waitFor(async () => (await look.condition('Paused')) === 'True Paused')
  await fleet.age(short.uid, MINUTE + 1000)
  await fleet.finish(long.uid)
  await shows([short.uid, user.uid], [short.uid])
  // What is not asked for any more is taken back; with the scaler goes all of it, but for what others wrote.
  await look.edit({ protect: ['karpenter'] })
  await shows([short.uid, user.uid], [])
  await look.remove()
  await shows([user.uid], [])
})
