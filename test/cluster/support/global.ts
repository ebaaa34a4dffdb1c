import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { freePort } from '../../support/ports.ts'
import { closeScope, own } from '../../support/scope.ts'
import { toolPath } from '../tools/tools.ts'
import { openCluster } from './cluster.ts'
import { controlPlaneMissing, startControlPlane } from './controlplane.ts'
import { findPrograms, givenCluster } from './given.ts'
import type { Access } from './kubeconfig.ts'
import { addFakeNodes, startKwok } from './kwok.ts'

/** What the tests of the project are told: how to reach the cluster that they share, or why there is none. */
export type SharedCluster =
  | { readonly kind: 'own' | 'given'; readonly access: Access }
  | { readonly kind: 'none'; readonly why: string }

declare module 'vitest' {
  interface ProvidedContext {
    sharedCluster: SharedCluster
  }
}

/** What tests may add to a cluster. */
const CRDS = [
  'workerscalers.resqueue.dev',
  'podmonitors.monitoring.coreos.com',
  'prometheusrules.monitoring.coreos.com',
] as const

/** One control plane with fake nodes for all tests of the project, or the user's own cluster with fake nodes added. */
export async function setup(project: TestProject): Promise<void> {
  const shared = await startShared()
  if (shared.kind === 'none') process.stderr.write(`\nThe tests of a cluster are not run: ${shared.why}\n\n`)
  if (shared.kind === 'given') process.stderr.write(`\nThe tests use the cluster at ${shared.access.server}\n\n`)
  project.provide('sharedCluster', shared)
}

export const teardown: () => Promise<void> = closeScope

async function startShared(): Promise<SharedCluster> {
  const access = await givenCluster()
  const why = access === undefined ? controlPlaneMissing() : controlPlaneMissing(['kwok'])
  if (why !== undefined) return { kind: 'none', why }
  if (access === undefined) return { kind: 'own', access: (await startControlPlane({ nodes: 5 })).access }
  await addFakeNodesTo(access)
  return { kind: 'given', access }
}

async function addFakeNodesTo(access: Access): Promise<void> {
  const cluster = openCluster(access, findPrograms())
  const dir = mkdtempSync(join(tmpdir(), 'resqueue-kwok-'))
  own('kwok files', () => rmSync(dir, { recursive: true, force: true }))
  const there = await cluster.kubectl('get', 'crd', '-o', 'name')
  const ours = CRDS.filter((name) => !there.includes(`/${name}\n`))
  own('custom resources', () => ours.length > 0 && cluster.kubectl('delete', 'crd', '--ignore-not-found', ...ours))
  own('fake nodes', () => cluster.kubectl('delete', 'nodes', '-l', 'resqueue.test/node=fake', '--ignore-not-found'))
  const file = toolPath('kwok')
  const kwok = await startKwok({ file, kubeconfig: await cluster.kubeconfig(), dir, port: await freePort() })
  own('kwok', () => kwok.stop())
  await addFakeNodes(cluster, { count: 5, pods: 500, tainted: true })
}
