import { expect } from 'vitest'
import { job, startLedger } from '../support/ledger.ts'
import { waitFor } from '../support/wait.ts'
import { pool, stage, startController, workArgs } from './scaling.ts'
import { watchSilence } from './silence.ts'
import { test, type Scene } from './support/fixtures.ts'
import { startPodRunner, type RunningPod } from './support/podrunner.ts'

/** A worker renews every two seconds: after this long without a renewal it has missed one. */
const MISSED_MS = 3000

/** So many pods that are real workers, whose processes live on when their pods are forced away, and a controller. */
async function start(scene: Scene, count: number) {
  const ledger = startLedger()
  const { cluster, namespace } = scene
  const runner = startPodRunner({ cluster, namespace, env: ledger.env, onVanish: 'leave' })
  const steady = { minReplicas: count, maxReplicas: count, pollingIntervalSeconds: 1 }
  const look = await stage(scene, pool({ args: workArgs(scene) }), steady)
  const controller = await startController(scene)
  await look.reaches(count)
  await runner.settled(count)
  return { ledger, runner, look, controller }
}

test('jobs of a pod that is gone are back within seconds, long before its lease ends', async ({
  scene,
  cluster,
  namespace,
  redis,
  ns,
}) => {
  const { ledger, runner, look, controller } = await start(scene, 1)
  const [pod] = runner.pods
  const gate = job('q', 'Gate', [ledger.gate])
  await redis.rpush(`${ns}:queue:q`, gate.raw)
  await ledger.sees('start', gate.id)
  await waitFor(async () => (await look.status())['jobs'])
  const silence = await watchSilence(redis, ns, (pod as RunningPod).uid)

  // Forced away, and its process stopped: on one machine a successor would see by itself that it is dead.
  await cluster.api.call('DELETE', `/api/v1/namespaces/${namespace}/pods/${pod?.name}?gracePeriodSeconds=0`)
  pod?.process.pause()
  const entry = await controller.says('released a gone worker process')
  expect(entry).toMatchObject({ reason: 'silent', jobs: 1 })
  // By the clock of Redis, not by that of a busy test. The lease is 8 s.
  expect(silence.leastMs()).toBeLessThan(2 * MISSED_MS)
  // The next pod does it, once.
  await ledger.sees('start', gate.id, 2)
  ledger.open()
  await ledger.sees('end', gate.id)
  expect(ledger.of('end', gate.id)).toHaveLength(1)
})

test('a pod that was forced away while its process runs on keeps its jobs for as long as it renews', async ({
  scene,
  cluster,
  namespace,
  redis,
  ns,
}) => {
  const { ledger, runner, controller } = await start(scene, 2)
  const gate = job('q', 'Gate', [ledger.gate])
  await redis.rpush(`${ns}:queue:q`, gate.raw)
  const { pid } = await ledger.sees('start', gate.id)
  const pod = runner.pods.find((one) => one.process.pid === pid) as RunningPod
  const silence = await watchSilence(redis, ns, pod.uid)
  await cluster.api.call('DELETE', `/api/v1/namespaces/${namespace}/pods/${pod.name}?gracePeriodSeconds=0`)
  await waitFor(() => runner.pods.every(({ uid }) => uid !== pod.uid))
  // Its successor is there and has nothing to do.
  await runner.settled(2)
  const isReleased = 'released a gone worker process'
  const released = ledger.of('start', gate.id).length > 1 || controller.log.some(({ msg }) => msg.includes(isReleased))
  // A machine may be so busy that a renewal is missed: then, and only then, the job goes to another.
  if (released) {
    await controller.says(isReleased)
    expect(silence.mostMs()).toBeGreaterThanOrEqual(MISSED_MS - 50)
  }
  ledger.open()
  await ledger.sees('end', gate.id, released ? 2 : 1)
  // The job notes its end before its worker records it. Once, however often it ran.
  await waitFor(async () => (await redis.get(`${ns}:stat:processed`)) === '1')
  expect(await redis.llen(`${ns}:queue:q`)).toBe(0)
})
