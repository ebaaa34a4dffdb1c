import { expect } from 'vitest'
import { never, waitFor } from '../support/wait.ts'
import { pool, QUICK, stage, stageFleet, startController, type RunningController } from './scaling.ts'
import { test } from './support/fixtures.ts'

const PATIENT = { ...QUICK, cooldownSeconds: 3600 }

const scales = (controller: RunningController): number => controller.log.filter(({ msg }) => msg === 'scaled').length

// Argo CD resyncs every three minutes; test/unit/writes.test.ts has its clock. Here it comes as soon as there is
// something to undo.
test('a deploy tool that writes the replicas of its manifest is left alone after three writes', async ({
  scene,
  cluster,
  namespace,
}) => {
  const look = await stage(scene, pool({ replicas: 1 }), { ...PATIENT, minReplicas: 3, maxReplicas: 3 })
  const controller = await startController(scene)
  for (let resync = 1; resync <= 3; resync++) {
    await look.reaches(3)
    expect(await look.condition('Ready')).not.toBe('False ReplicasContested')
    await cluster.apply([pool({ replicas: 1 })], { namespace })
  }
  await waitFor(async () => (await look.condition('Ready')) === 'False ReplicasContested')
  await never(3000, async () => (await look.replicas()) !== 1, 'it was written on')
  expect(scales(controller)).toBe(3)
  const held = `resqueue_scaler_held{namespace="${namespace}",name="s",reason="ReplicasContested"}`
  expect(await controller.metric(held)).toBe(1)
})

test('an HPA on the same target is left alone after three writes that it undid, and no pod that works is given up', async ({
  scene,
  cluster,
  namespace,
}) => {
  const spec = { ...PATIENT, minReplicas: 6, maxReplicas: 20 }
  const { look, fleet, pods } = await stageFleet(scene, pool({ replicas: 6 }), spec)
  const busy = pods.slice(0, 2).map(({ metadata }) => metadata.uid)
  for (const uid of busy) expect(await fleet.occupy(uid)).toBe(true)
  const controller = await startController(scene)
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  // Without metrics it does one thing: it keeps the replicas within its limits.
  const hpa = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'rival' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'w' },
      minReplicas: 6,
      maxReplicas: 8,
      metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
      ],
    },
  }
  await cluster.apply([hpa], { namespace })
  await look.edit({ minReplicas: 2 })
  const isContested = async (): Promise<boolean> => {
    await fleet.follow() // pods that the HPA brings back have workers too
    return (await look.condition('Ready')) === 'False ReplicasContested'
  }
  await waitFor(isContested, {
    timeoutMs: 120_000,
    describe: async () => JSON.stringify([await look.status(), await look.events()]),
  })
  await look.reaches(6)
  await never(3000, async () => (await look.replicas()) !== 6, 'it was written on')
  // Three of the last five were undone; a descent may have taken two before the HPA acted.
  expect(scales(controller)).toBeGreaterThanOrEqual(3)
  expect(scales(controller)).toBeLessThanOrEqual(6)
  expect(await look.lost(busy)).toBe(0)
  // It has let go: no pod is drained any more.
  await waitFor(async () => (await look.status()).draining?.count === 0)
  const rescues = (await look.events()).filter(({ note }) => /New size: 6/.test(note))
  expect(rescues.length).toBeGreaterThan(0)

  // Without the HPA, and told so, it goes on.
  await look.settled(6)
  await fleet.follow()
  await cluster.kubectl('-n', namespace, 'delete', 'hpa', 'rival')
  await look.edit({ maxReplicas: 10 })
  await look.reaches(2)
  expect(await look.lost(busy)).toBe(0)
})
