import { expect } from 'vitest'
import { freePort } from '../support/ports.ts'
import { never, waitFor } from '../support/wait.ts'
import { isReady, pool, QUICK, stageFleet, startController, type Deployment } from './scaling.ts'
import { watchSilence } from './silence.ts'
import type { ControlPlane } from './support/controlplane.ts'
import { test } from './support/fixtures.ts'
import { addFakeNodes, startKwok } from './support/kwok.ts'
import type { Part } from './support/part.ts'
import { own } from '../support/scope.ts'
import { toolPath } from './tools/tools.ts'

/** A node of its own kubelet, which can be lost. */
async function addNode(plane: ControlPlane, name: string): Promise<Part> {
  const kubeconfig = await plane.kubeconfig()
  const { dir } = plane
  const kubelet = await startKwok({
    file: toolPath('kwok'),
    kubeconfig,
    dir,
    port: await freePort(),
    nodes: name,
    leaseSeconds: 8,
  })
  own(`kubelet ${name}`, () => kubelet.stop())
  await addFakeNodes(plane, { name, count: 1, pods: 100, tainted: false })
  return kubelet
}

/** The pool with its pods shared out over the nodes that are there. */
function spreadPool(replicas: number): Deployment {
  const base = pool({ replicas })
  const spread = {
    maxSkew: 1,
    topologyKey: 'kubernetes.io/hostname',
    whenUnsatisfiable: 'DoNotSchedule',
    nodeTaintsPolicy: 'Honor',
    labelSelector: { matchLabels: { app: 'w' } },
  }
  const { template } = base.spec
  const spec = { ...template.spec, topologySpreadConstraints: [spread] }
  return { ...base, spec: { ...base.spec, template: { ...template, spec } } }
}

test('a node is lost: Redis tells who works there, and jobs of pods that are gone come back and end once', async ({
  startPlane,
  redis,
  redisUrl,
  ns,
}) => {
  const plane = await startPlane({
    nodes: 0,
    args: { 'kube-controller-manager': ['--node-monitor-period=1s', '--node-monitor-grace-period=6s'] },
  })
  const namespace = await plane.namespace()
  await addNode(plane, 'stays')
  const kubelet = await addNode(plane, 'lost')
  const spec = { ...QUICK, minReplicas: 6, maxReplicas: 10, cooldownSeconds: 3600 }
  const { look, fleet, pods } = await stageFleet({ cluster: plane, namespace, redisUrl, ns }, spreadPool(6), spec)
  const on = (node: string): string[] =>
    pods.filter(({ spec }) => spec.nodeName === node).map(({ metadata }) => metadata.uid)
  const [cutOff, dead, idle] = on('lost-0') as [string, string, string]
  const [works, helper] = on('stays-0') as [string, string]
  expect([on('lost-0').length, on('stays-0').length]).toEqual([3, 3])
  for (const uid of [cutOff, dead, works]) expect(await fleet.occupy(uid)).toBe(true)
  const controller = await startController({ cluster: plane, namespace, redisUrl, ns })
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  const waiting = (): Promise<number> => redis.llen(`${ns}:queue:q`)
  const processed = async (): Promise<number> => Number(await redis.get(`${ns}:stat:processed`))
  /** Another pod does the job that came back; the worker that held it first awakes and reports it too. */
  const doneOnce = async (first: string, total: number): Promise<void> => {
    const helpers = (await look.pods()).map(({ metadata }) => metadata.uid).filter((uid) => !fleet.busy.has(uid))
    await fleet.follow()
    const taker = await waitFor(async () => {
      for (const uid of helpers) if (await fleet.take(uid)) return uid
      return undefined
    })
    expect(await fleet.finish(taker)).toBe('ok')
    expect(await processed()).toBe(total)
    expect(await fleet.finish(first)).toBe('gone')
    expect([await processed(), await waiting()]).toEqual([total, 0])
  }

  // One worker dies with the node, its pod stays: the lease of 8 s brings its job back.
  await kubelet.kill()
  fleet.silence(dead)
  const lapsed = await controller.says('released a gone worker process')
  expect(lapsed).toMatchObject({ reason: 'lease', jobs: 1 })
  expect(await waiting()).toBe(1)
  await doneOnce(dead, 1)

  // The API server takes all three pods for not ready; a worker of one runs on and still reaches Redis.
  await waitFor(async () => (await look.pods()).filter((pod) => !isReady(pod)).length === 3)
  await look.edit({ minReplicas: 0 })
  // The idle ones there go first. Then the one that works would: nothing more is given up.
  await look.reaches(4)
  await never(3000, async () => (await look.replicas()) < 4, 'a pod that works was given up')
  expect(await look.lost([cutOff, works, helper])).toBe(0)
  expect(await look.lost([dead, idle])).toBe(2)
  expect(await processed()).toBe(1)

  // It dies too, and its pod is forced away: its job is back once the lease has missed a renewal.
  const silence = await watchSilence(redis, ns, cutOff)
  fleet.silence(cutOff)
  const name = pods.find(({ metadata }) => metadata.uid === cutOff)?.metadata.name
  await plane.api.call('DELETE', `/api/v1/namespaces/${namespace}/pods/${name}?gracePeriodSeconds=0`)
  await waitFor(async () => (await waiting()) === 1)
  // By the clock of Redis: twice what it takes to miss a renewal. The lease is 8 s.
  expect(silence.leastMs()).toBeLessThan(6000)
  // Redis knows it before the log does.
  const silent = await waitFor(
    () => controller.log.filter(({ msg }) => msg.includes('released a gone worker process'))[1],
  )
  expect(silent).toMatchObject({ reason: 'silent', jobs: 1 })
  await doneOnce(cutOff, 2)
  expect(await look.lost([works])).toBe(0)
})
