import type { TestProject } from 'vitest/node'
import { closeScope } from '../../../support/scope.ts'
import { projectImage, redisImage, type ImageFile } from '../../tools/images.ts'
import { nodeMissing, startNode, type NodeAddress } from './node.ts'

/** What the tests of the project are told: how to reach the node that they share, or why there is none. */
export type SharedNode =
  | { readonly kind: 'own'; readonly address: NodeAddress; readonly images: Images }
  | { readonly kind: 'none'; readonly why: string }

/** Images that pods may use from the start. */
export interface Images {
  /** The project's, built from its Dockerfile. */
  readonly resqueue: ImageFile
  /** A Redis that runs as any user and keeps its data in /data. */
  readonly redis: ImageFile
}

declare module 'vitest' {
  interface ProvidedContext {
    sharedNode: SharedNode
  }
}

/** One real node for all tests of the project, with the project's image on it. */
export async function setup(project: TestProject): Promise<void> {
  const why = nodeMissing()
  if (why !== undefined) {
    process.stderr.write(`\nThe tests on a real node are not run: ${why}\n\n`)
    project.provide('sharedNode', { kind: 'none', why })
    return
  }
  const images = { resqueue: projectImage(), redis: redisImage() }
  const node = await startNode(Object.values(images))
  project.provide('sharedNode', { kind: 'own', address: node.address, images })
}

export const teardown: () => Promise<void> = closeScope
