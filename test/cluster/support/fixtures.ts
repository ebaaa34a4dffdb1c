import { inject } from 'vitest'
import { test as base } from '../../support/fixtures.ts'
import { openCluster, type Cluster } from './cluster.ts'
import { controlPlaneMissing, startControlPlane } from './controlplane.ts'
import { findPrograms } from './given.ts'

/** Where a test takes place. */
export interface Scene {
  readonly cluster: Cluster
  /** In the cluster. */
  readonly namespace: string
  readonly redisUrl: string
  /** In Redis. */
  readonly ns: string
}

export interface ClusterFixtures {
  /**
   * The cluster that all tests of the project share, as its admin. The test is reported as not run where there is none.
   */
  readonly cluster: Cluster
  /** A namespace of the test's own in it. */
  readonly namespace: string
  readonly scene: Scene
  /** `startControlPlane`: for tests that stop or pause parts. The test is reported as not run where it cannot work. */
  readonly startPlane: typeof startControlPlane
}

/** `test` with a cluster, and with the Redis of `test/support/fixtures.ts`. */
export const test = base.extend<ClusterFixtures>({
  cluster: async ({ skip }, use) => {
    const shared = inject('sharedCluster')
    if (shared.kind === 'none') return skip(shared.why)
    await use(openCluster(shared.access, findPrograms()))
  },
  namespace: async ({ cluster }, use) => {
    await use(await cluster.namespace())
  },
  scene: async ({ cluster, namespace, redisUrl, ns }, use) => {
    await use({ cluster, namespace, redisUrl, ns })
  },
  startPlane: async ({ skip }, use) => {
    const why = controlPlaneMissing()
    if (why !== undefined) return skip(why)
    await use(startControlPlane)
  },
})
