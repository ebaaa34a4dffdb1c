import { expect } from 'vitest'
import { never } from '../support/wait.ts'
import { pool, QUICK, stage, startController } from './scaling.ts'
import { test } from './support/fixtures.ts'

interface Lease {
  readonly spec: { readonly holderIdentity: string; readonly leaseTransitions: number; readonly renewTime: string }
}

test('of two controllers one leads; a killed one is followed, a stopped one writes nothing when it wakes', async ({
  cluster,
  namespace,
  redisUrl,
  ns,
}) => {
  const look = await stage(cluster, namespace, pool(), { ...QUICK, minReplicas: 1, maxReplicas: 20 })
  const lease = (): Promise<Lease> =>
    cluster.api.get(`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/resqueue-controller`)
  const start = (name: string) => startController({ cluster, namespace, redis: redisUrl, ns, env: { POD_NAME: name } })
  const first = await start('one')
  await first.says('leading')
  const second = await start('two')
  await look.reaches(1)
  expect((await lease()).spec.holderIdentity).toMatch(/^one_/)
  expect((await lease()).spec.renewTime).toMatch(/\.\d{6}Z$/)
  expect([await first.metric('resqueue_leader'), await second.metric('resqueue_leader')]).toEqual([1, 0])
  expect((await second.get('/readyz')).status).toBe(200)

  // Stopped for longer than its lease lasts: the second takes over, and the first finds out before it writes.
  first.process.pause()
  await second.says('leading', 60_000)
  await look.edit({ minReplicas: 3 })
  await look.reaches(3)
  const { leaseTransitions } = (await lease()).spec
  first.process.resume()
  const { code } = await first.process.waitForExit(30_000)
  expect(code).toBe(1)
  await never(1000, async () => (await look.replicas()) !== 3)
  expect((await lease()).spec).toMatchObject({ holderIdentity: expect.stringMatching(/^two_/), leaseTransitions })

  // Ended in order, it gives the lease back: the next one leads at once.
  const third = await start('three')
  await never(3000, () => third.log.some(({ msg }) => msg === 'leading'))
  second.process.signal('SIGTERM')
  expect((await second.process.waitForExit(15_000)).code).toBe(0)
  await third.says('leading', 6000)
  await look.edit({ minReplicas: 4 })
  await look.reaches(4)

  // Killed: its successor waits for the lease to end, and goes on.
  const fourth = await start('four')
  await third.process.kill()
  await look.edit({ minReplicas: 5 })
  await fourth.says('leading', 40_000)
  await look.reaches(5)
})
