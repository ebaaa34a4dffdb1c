import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { ROOT } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'
import { applyMonitoring, CHART, deploy, helm, objectsOf, replicasOf } from './releases.ts'
import { applyCrd } from './scaling.ts'
import type { Cluster } from './support/cluster.ts'
import { test } from './support/fixtures.ts'

/** What the API server says to manifests that it does not keep. */
async function dryRun(cluster: Cluster, namespace: string, manifests: string): Promise<void> {
  await applyCrd(cluster)
  await applyMonitoring(cluster)
  // A pod is refused where its service account is not there yet.
  const accounts = manifests.split(/^---$/m).filter((one) => /^kind: ServiceAccount$/m.test(one))
  if (accounts.length > 0) await cluster.apply(accounts.join('---\n'), { namespace })
  const args = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '--namespace', namespace, '-f', '-']
  const { code, stdout, stderr } = await cluster.run('kubectl', args, { input: manifests })
  // Violations of Pod Security and deprecated fields are warnings.
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(stdout.trim().split('\n').length).toBe(manifests.match(/^kind: /gm)?.length)
}

test.for(readdirSync(join(CHART, 'ci')))(
  'the API server takes every object of ci/%s and warns of nothing',
  async (file, { cluster }) => {
    const namespace = await cluster.namespace({ restricted: true })
    const args = ['template', 'rq', CHART, '--namespace', namespace, '--values', join(CHART, 'ci', file)]
    const { code, stdout, stderr } = await cluster.run('helm', args)
    expect(code, stderr).toBe(0)
    await dryRun(cluster, namespace, stdout)
  },
)

test.for(['deploy/resqueue.yaml', 'deploy/trial/trial.yaml'])('the API server takes %s', async (file, { cluster }) => {
  const namespace = await cluster.namespace({ restricted: true })
  const text = readFileSync(join(ROOT, file), 'utf8')
  const own = /^ {2}namespace: (\S+)$/m.exec(text)?.[1] ?? ''
  expect(own).not.toBe('')
  const moved = text
    .replaceAll(/^(\s+namespace:) \S+$/gm, `$1 ${namespace}`)
    .replace(`name: ${own}\n`, `name: ${namespace}\n`)
  await dryRun(cluster, namespace, moved)
})

test('pods of a release run under restricted Pod Security, and nothing is left of it', async ({ cluster }) => {
  const namespace = await cluster.namespace({ restricted: true })
  await deploy(cluster, 'install', 'rq', namespace, {
    networkPolicy: { enabled: true },
    workers: { mail: { replicas: 2 } },
  })
  for (const name of ['default', 'mail', 'controller'])
    await cluster.kubectl('-n', namespace, 'rollout', 'status', `deploy/rq-resqueue-${name}`, '--timeout=60s')
  const objects = await objectsOf(cluster, 'rq', namespace)
  expect(objects.filter((one) => one.startsWith('Pod/'))).toHaveLength(4)
  const { code, stderr } = await cluster.run('helm', ['uninstall', 'rq', '--namespace', namespace, '--wait'])
  expect(code, stderr).toBe(0)
  await waitFor(async () => (await objectsOf(cluster, 'rq', namespace)).length === 0, {
    describe: () => objectsOf(cluster, 'rq', namespace),
  })
})

test('an upgrade with other values restarts only the pods that these are about', async ({ cluster, namespace }) => {
  const templates = async (): Promise<Record<string, number>> => {
    const { items } = await cluster.api.get<{ items: { metadata: { name: string; generation: number } }[] }>(
      `/apis/apps/v1/namespaces/${namespace}/deployments`,
    )
    return Object.fromEntries(items.map(({ metadata }) => [metadata.name, metadata.generation]))
  }
  await deploy(cluster, 'install', 'rq', namespace, { workers: { mail: {} } })
  const before = await templates()
  await deploy(cluster, 'upgrade', 'rq', namespace, { workers: { mail: { concurrency: 2 } } })
  const after = await templates()
  expect(Object.keys(after).filter((name) => after[name] !== before[name])).toEqual(['rq-resqueue-mail'])
})

test('a pool that is there gets the strategy Recreate as the guide says, and keeps it', async ({
  cluster,
  namespace,
}) => {
  const recreate = { workers: { default: { strategy: { type: 'Recreate' } } } }
  await deploy(cluster, 'install', 'rq', namespace)
  expect((await helm(cluster, 'upgrade', 'rq', namespace, recreate)).stderr).toContain('rollingUpdate: Forbidden')
  const guide = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8')
  const flag = /`\{ type: Recreate \}`[^`]*needs `(--\S+)`/.exec(guide)?.[1] ?? ''
  await deploy(cluster, 'upgrade', 'rq', namespace, recreate, [flag])
  await deploy(cluster, 'upgrade', 'rq', namespace, recreate, ['--server-side=true'])
  const jsonpath = ['-o', 'jsonpath={.spec.strategy}']
  const strategy = await cluster.kubectl('-n', namespace, 'get', 'deploy', 'rq-resqueue-default', ...jsonpath)
  expect(JSON.parse(strategy)).toEqual({ type: 'Recreate' })
})

test('a pull secret that all pods and a pool name is no conflict', async ({ cluster, namespace }) => {
  const imagePullSecrets = ['registry']
  await deploy(cluster, 'install', 'rq', namespace, { imagePullSecrets, workers: { default: { imagePullSecrets } } })
})

test('scaling is turned on for a pool of five without losing one, kept over upgrades and rollbacks, and turned off again', async ({
  cluster,
  namespace,
}) => {
  await deploy(cluster, 'install', 'rq', namespace, { workers: { default: { replicas: 5 } } })
  await cluster.kubectl('-n', namespace, 'scale', 'deploy/rq-resqueue-default', '--replicas=6')
  await deploy(cluster, 'upgrade', 'rq', namespace, { workers: { default: { scaling: { enabled: true } } } })
  expect(await replicasOf(cluster, namespace, 'rq-resqueue-default')).toBe(6)
  // From here on the number is not Helm's.
  await cluster.kubectl('-n', namespace, 'scale', 'deploy/rq-resqueue-default', '--replicas=4')
  const scaled = { enabled: true, maxReplicas: 20 }
  await deploy(cluster, 'upgrade', 'rq', namespace, { workers: { default: { scaling: scaled } } })
  expect(await replicasOf(cluster, namespace, 'rq-resqueue-default')).toBe(4)
  const back = await cluster.run('helm', ['rollback', 'rq', '2', '--namespace', namespace])
  expect(back.code, back.stderr).toBe(0)
  const maxReplicas = ['-o', 'jsonpath={.spec.maxReplicas}']
  expect(await cluster.kubectl('-n', namespace, 'get', 'workerscaler', 'rq-resqueue-default', ...maxReplicas)).toBe(
    '10',
  )
  expect(await replicasOf(cluster, namespace, 'rq-resqueue-default')).toBe(4)
  await deploy(cluster, 'upgrade', 'rq', namespace, { workers: { default: { replicas: null } } })
  expect(await replicasOf(cluster, namespace, 'rq-resqueue-default')).toBe(4)
  expect((await objectsOf(cluster, 'rq', namespace)).filter((one) => one.startsWith('WorkerScaler'))).toEqual([])
  // What the NOTES warn of: without that step the number begins again with 1.
  await deploy(cluster, 'install', 'careless', namespace, { workers: { default: { replicas: 5 } } })
  await deploy(cluster, 'upgrade', 'careless', namespace, { workers: { default: { scaling: { enabled: true } } } })
  expect(await replicasOf(cluster, namespace, 'careless-resqueue-default')).toBe(1)
})

test('a pool that is scaled by hand: a conflict with replicas, none with null', async ({ cluster, namespace }) => {
  await deploy(cluster, 'install', 'rq', namespace, { workers: { default: { replicas: 2 } } })
  await cluster.kubectl('-n', namespace, 'scale', 'deploy/rq-resqueue-default', '--replicas=4')
  const refused = await helm(cluster, 'upgrade', 'rq', namespace, { workers: { default: { replicas: 3 } } })
  expect(refused.code).not.toBe(0)
  expect(refused.stderr).toContain('conflict')
  await deploy(cluster, 'upgrade', 'rq', namespace, { workers: { default: { replicas: null } } })
  expect(await replicasOf(cluster, namespace, 'rq-resqueue-default')).toBe(4)
})
