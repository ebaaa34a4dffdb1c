import { inject } from 'vitest'
import { test as base } from '../../../support/fixtures.ts'
import type { Images, SharedNode } from './global.ts'
import { openRealCluster, type RealCluster } from './node.ts'

export interface NodeFixtures {
  readonly sharedNode: Extract<SharedNode, { kind: 'own' }>
  /**
   * The cluster of the node that all tests of the project share. The test is reported as not run where there is none.
   */
  readonly cluster: RealCluster
  /** Images that are on the node. */
  readonly images: Images
  /** A namespace of the test's own, which enforces the restricted Pod Security Standard. */
  readonly namespace: string
}

/** `test` with a real node. */
export const test = base.extend<NodeFixtures>({
  sharedNode: async ({ skip }, use) => {
    const shared = inject('sharedNode')
    if (shared.kind === 'none') return skip(shared.why)
    await use(shared)
  },
  cluster: async ({ sharedNode }, use) => {
    await use(await openRealCluster(sharedNode.address))
  },
  images: async ({ sharedNode }, use) => {
    await use(sharedNode.images)
  },
  namespace: async ({ cluster }, use) => {
    await use(await cluster.namespace({ restricted: true }))
  },
})
