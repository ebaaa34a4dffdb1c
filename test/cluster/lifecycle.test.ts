import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { ROOT } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'
import { CRDS_CHART, deploy, helm, objectsOf } from './releases.ts'
import { startControlPlane } from './support/controlplane.ts'
import type { Cluster } from './support/cluster.ts'
import { test } from './support/fixtures.ts'

const SCALED = { workers: { default: { scaling: { enabled: true } } } }
const CRD = 'workerscalers.resqueue.dev'

async function uninstall(cluster: Cluster, release: string, namespace: string): Promise<void> {
  const { code, stderr } = await cluster.run('helm', ['uninstall', release, '--namespace', namespace])
  expect(code, stderr).toBe(0)
}

const crdLabels = async (cluster: Cluster): Promise<Record<string, string>> =>
  (
    await cluster.api.get<{ metadata: { labels: Record<string, string> } }>(
      `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${CRD}`,
    )
  ).metadata.labels

const crdsChart = (cluster: Cluster, ...flags: string[]): Promise<{ code: number; stderr: string }> =>
  cluster.run(
    'helm',
    'upgrade --install resqueue-crds --namespace resqueue-system --create-namespace'
      .split(' ')
      .concat(CRDS_CHART, flags),
  )

// The shared cluster of the project is left alone: this is about a custom resource that is not there yet.
test(
  'a cluster that never saw the chart: two releases, one again under another name, an upgrade of the resource',
  {
    timeout: 180_000,
  },
  async ({ cluster: shared }) => {
    const cluster = await startControlPlane({ nodes: 2 })
    expect(cluster.access.server).not.toBe(shared.access.server)
    const [one, two] = [await cluster.namespace(), await cluster.namespace()]

    // The first installation brings the resource and an object of it at once.
    await deploy(cluster, 'install', 'first', one, SCALED)
    await cluster.kubectl('-n', one, 'get', 'workerscaler', 'first-resqueue-default')
    await deploy(cluster, 'install', 'second', two, SCALED)
    await deploy(cluster, 'install', 'third', two, SCALED)
    await cluster.kubectl('-n', two, 'get', 'workerscaler', 'second-resqueue-default', 'third-resqueue-default')

    await uninstall(cluster, 'first', one)
    await waitFor(async () => (await objectsOf(cluster, 'first', one)).length === 0)
    await cluster.kubectl('get', 'crd', CRD)
    await cluster.kubectl('-n', two, 'get', 'workerscaler', 'second-resqueue-default')
    await deploy(cluster, 'install', 'again', one, SCALED)
    await deploy(cluster, 'upgrade', 'again', one, SCALED)

    // The chart of the resource takes it over when it is told to, and keeps it and its objects at the end.
    expect((await crdsChart(cluster)).stderr).toContain('invalid ownership metadata')
    const taken = await crdsChart(cluster, '--take-ownership')
    expect(taken.code, taken.stderr).toBe(0)
    expect(await crdLabels(cluster)).toMatchObject({ 'app.kubernetes.io/managed-by': 'Helm' })
    const upgraded = await crdsChart(cluster)
    expect(upgraded.code, upgraded.stderr).toBe(0)
    await uninstall(cluster, 'resqueue-crds', 'resqueue-system')
    await cluster.kubectl('-n', two, 'get', 'workerscaler', 'second-resqueue-default')
    await deploy(cluster, 'install', 'last', one, SCALED)

    // kubectl, as the guide calls it, takes over from Helm, and Helm from kubectl.
    const file = join(ROOT, 'deploy', 'crds.yaml')
    const crd = readFileSync(file, 'utf8')
    const same = await cluster.run('kubectl', ['apply', '--server-side', '-f', file])
    expect(same.code, same.stderr).toBe(0)
    const other = crd.replace('shortNames: [ws]', 'shortNames: [old]')
    expect(other).not.toBe(crd)
    const by = async (manager: string): Promise<void> => {
      const apply = `apply --server-side --force-conflicts --field-manager=${manager} -f -`.split(' ')
      expect((await cluster.run('kubectl', apply, { input: other })).code).toBe(0)
    }
    const guide = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8')
    const command = /kubectl (apply .*)deploy\/crds\.yaml/.exec(guide)?.[1] ?? ''
    await by('helm')
    await cluster.kubectl(...command.trim().split(' '), file)
    await by('kubectl')
    expect((await crdsChart(cluster, '--take-ownership')).stderr).toContain('conflict')
    const forced = await crdsChart(cluster, '--take-ownership', '--force-conflicts')
    expect(forced.code, forced.stderr).toBe(0)

    // Helm 4 installs it anew with every release that does not skip it.
    const short = (): Promise<string> =>
      cluster.kubectl('get', 'crd', CRD, '-o', 'jsonpath={.spec.names.shortNames[0]}')
    await by('helm')
    await deploy(cluster, 'install', 'skipping', one, SCALED, ['--skip-crds'])
    await deploy(cluster, 'upgrade', 'skipping', one, SCALED)
    expect(await short()).toBe('old')
    await deploy(cluster, 'install', 'replacing', one, SCALED)
    expect(await short()).toBe('ws')
  },
)

test('two releases in one namespace do not touch each other', async ({ cluster, namespace }) => {
  await deploy(cluster, 'install', 'a', namespace)
  await deploy(cluster, 'install', 'b', namespace)
  const ofB = await objectsOf(cluster, 'b', namespace)
  await uninstall(cluster, 'a', namespace)
  await waitFor(async () => (await objectsOf(cluster, 'a', namespace)).length === 0)
  const left = await objectsOf(cluster, 'b', namespace)
  expect(left.filter((name) => !/^(Pod|ReplicaSet)\//.test(name))).toEqual(
    ofB.filter((name) => !/^(Pod|ReplicaSet)\//.test(name)),
  )
})

test('a namespace admin without cluster rights can install the chart where the resource is', async ({
  cluster,
  namespace,
}) => {
  await deploy(cluster, 'install', 'seed', await cluster.namespace(), SCALED)
  await cluster.kubectl('-n', namespace, 'create', 'rolebinding', 'boss', '--clusterrole=admin', '--user=boss')
  // What the security guide says.
  const apiGroups = ['resqueue.dev']
  const verbs = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection']
  const rules = [
    { apiGroups, resources: ['workerscalers'], verbs },
    { apiGroups, resources: ['workerscalers/status'], verbs: ['get', 'patch'] },
    { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
  ]
  const scalers = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name: 'scalers' }, rules }
  await cluster.apply([scalers], { namespace })
  await cluster.kubectl('-n', namespace, 'create', 'rolebinding', 'scalers', '--role=scalers', '--user=boss')
  const as = { user: 'boss' }
  const asBoss: Cluster = {
    ...cluster,
    run: (program, args, options) => cluster.run(program, args, { ...options, as }),
  }
  const run = (): ReturnType<typeof helm> => helm(asBoss, 'install', 'rq', namespace, SCALED, ['--skip-crds'])
  const { code, stderr } = await run()
  expect(code, stderr).toBe(0)
})
