import { expect } from 'vitest'
import { job, startLedger } from '../support/ledger.ts'
import { waitFor } from '../support/wait.ts'
import { pool, stage, startController, workArgs } from './scaling.ts'
import { test } from './support/fixtures.ts'
import { startPodRunner } from './support/podrunner.ts'

test('from zero within three seconds, and back to zero when nothing is left to do', async ({
  scene,
  cluster,
  namespace,
  redis,
  ns,
}) => {
  const ledger = startLedger()
  const runner = startPodRunner({ cluster, namespace, env: ledger.env })
  const spec = {
    pollingIntervalSeconds: 2,
    cooldownSeconds: 3,
    behavior: { scaleDown: { stabilizationWindowSeconds: 2 } },
  }
  const look = await stage(scene, pool({ args: workArgs(scene) }), spec)
  const controller = await startController(scene)
  await controller.says('leading')
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  expect(await look.condition('Active')).toBe('False Idle')

  const one = job('q', 'Note', [0])
  const sentAt = performance.now()
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, one.raw)
  await look.reaches(1, 10_000)
  expect(performance.now() - sentAt).toBeLessThan(3000 + 500)
  await runner.settled(1)
  await ledger.sees('end', one.id)
  await look.reaches(0, 60_000)
  await runner.settled(0)
  const reasons = (await look.events()).map(({ reason }) => reason)
  expect(reasons).toEqual(expect.arrayContaining(['SuccessfulRescale', 'DrainStarted']))
  controller.process.signal('SIGTERM')
  expect(await controller.process.waitForExit(15_000)).toEqual({ code: 0, signal: null })
})
