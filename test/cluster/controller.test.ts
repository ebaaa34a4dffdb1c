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

  const turns = (): Promise<number | undefined> => controller.metric('resqueue_reconcile_duration_seconds_count')
  /** From zero and back. Returns how long the first took where a job comes right after a turn, long before the next. */
  const round = async (): Promise<number> => {
    const before = await turns()
    await waitFor(async () => (await turns()) !== before)
    const one = job('q', 'Note', [0])
    const sentAt = performance.now()
    await redis.sadd(`${ns}:queues`, 'q')
    await redis.rpush(`${ns}:queue:q`, one.raw)
    await look.reaches(1)
    const tookMs = performance.now() - sentAt
    await runner.settled(1)
    await ledger.sees('end', one.id)
    await look.reaches(0)
    await runner.settled(0)
    return tookMs
  }
  let tookMs = await round()
  // A busy machine may be late once; polling too rarely is late each time.
  for (let again = 0; again < 2 && tookMs >= 3000 + 500; again++) tookMs = await round()
  expect(tookMs).toBeLessThan(3000 + 500)
  const reasons = (await look.events()).map(({ reason }) => reason)
  expect(reasons).toEqual(expect.arrayContaining(['SuccessfulRescale', 'DrainStarted']))

  // The pool is at zero and stays there: what its scaler lists counts as served all the same.
  await look.edit({ paused: true })
  await waitFor(async () => (await look.condition('Paused'))?.startsWith('True'))
  for (const queue of ['q', 'mistyped']) {
    await redis.sadd(`${ns}:queues`, queue)
    await redis.rpush(`${ns}:queue:${queue}`, job(queue, 'Note', [0]).raw)
  }
  await waitFor(async () => (await controller.metric('resqueue_unserved_jobs{connection="default"}')) === 1)

  controller.process.signal('SIGTERM')
  expect(await controller.process.waitForExit()).toEqual({ code: 0, signal: null })
})
