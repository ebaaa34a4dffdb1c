import { expect } from 'vitest'
import { job, startLedger } from '../support/ledger.ts'
import { waitFor } from '../support/wait.ts'
import { applyCrd, looker, pool, scalerManifest, startController, workArgs } from './scaling.ts'
import { test } from './support/fixtures.ts'
import { startPodRunner } from './support/podrunner.ts'

const STEADY = { minReplicas: 2, maxReplicas: 2, pollingIntervalSeconds: 1 }

test('jobs of a pod that is gone are back within seconds, long before its lease ends', async ({
  cluster,
  namespace,
  redis,
  redisUrl,
  ns,
}) => {
  await applyCrd(cluster)
  const ledger = startLedger()
  const look = looker(cluster, namespace)
  const runner = startPodRunner({ cluster, namespace, env: ledger.env, onVanish: 'leave' })
  await cluster.apply(
    [pool({ args: workArgs(redisUrl, ns) }), scalerManifest('s', { ...STEADY, minReplicas: 1, maxReplicas: 1 })],
    { namespace },
  )
  const controller = await startController({ cluster, namespace, redis: redisUrl, ns })
  await look.reaches(1)
  const [pod] = await runner.settled(1, 60_000)
  const gate = job('q', 'Gate', [ledger.gate])
  await redis.rpush(`${ns}:queue:q`, gate.raw)
  await ledger.sees('start', gate.id)
  await waitFor(async () => (await look.status())['jobs'], { timeoutMs: 15_000 })

  // Forced away, and its process stopped: on one machine a successor would see by itself that it is dead.
  await cluster.api.call('DELETE', `/api/v1/namespaces/${namespace}/pods/${pod?.name}?gracePeriodSeconds=0`)
  pod?.process.pause()
  const killedAt = performance.now()
  const entry = await controller.says('released a gone worker process', 15_000)
  expect(entry).toMatchObject({ reason: 'silent', jobs: 1 })
  expect(performance.now() - killedAt).toBeLessThan(4000 + 1000)
  // The next pod does it, once.
  await ledger.sees('start', gate.id, 2, 60_000)
  ledger.open()
  await ledger.sees('end', gate.id)
  expect(ledger.of('end', gate.id)).toHaveLength(1)
})

test('a pod that was forced away while its process runs on keeps its jobs for as long as it renews', async ({
  cluster,
  namespace,
  redis,
  redisUrl,
  ns,
}) => {
  await applyCrd(cluster)
  const ledger = startLedger()
  const look = looker(cluster, namespace)
  const runner = startPodRunner({ cluster, namespace, env: ledger.env, onVanish: 'leave' })
  await cluster.apply([pool({ args: workArgs(redisUrl, ns) }), scalerManifest('s', STEADY)], { namespace })
  const controller = await startController({ cluster, namespace, redis: redisUrl, ns })
  await look.reaches(2)
  await runner.settled(2, 60_000)
  const gate = job('q', 'Gate', [ledger.gate])
  await redis.rpush(`${ns}:queue:q`, gate.raw)
  const { pid } = await ledger.sees('start', gate.id)
  const pod = runner.pods.find((one) => one.process.pid === pid)
  await cluster.api.call('DELETE', `/api/v1/namespaces/${namespace}/pods/${pod?.name}?gracePeriodSeconds=0`)
  await waitFor(() => runner.pods.every(({ uid }) => uid !== pod?.uid), { timeoutMs: 30_000 })
  // Its successor is there and has nothing to do.
  await runner.settled(2, 60_000)
  expect(controller.log.filter(({ msg }) => msg.includes('released'))).toEqual([])
  ledger.open()
  await ledger.sees('end', gate.id)
  // The job notes its end before its worker records it.
  await waitFor(async () => (await redis.get(`${ns}:stat:processed`)) === '1')
  expect(ledger.of('start', gate.id)).toHaveLength(1)
  expect(await redis.llen(`${ns}:queue:q`)).toBe(0)
})
