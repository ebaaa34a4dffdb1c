import { expect } from 'vitest'
import { startLedger } from '../support/ledger.ts'
import { waitFor } from '../support/wait.ts'
import { workArgs } from './scaling.ts'
import type { KubeObject } from './support/cluster.ts'
import { test } from './support/fixtures.ts'
import { isLocal } from './support/given.ts'
import type { Pod } from './support/pod.ts'
import { ON_FAKE_NODES } from './support/kwok.ts'
import { RUN_HERE, startPodRunner } from './support/podrunner.ts'

interface DeploymentSetup {
  readonly replicas: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
}

function deployment({ replicas, annotations = {}, args = [] }: DeploymentSetup): KubeObject {
  const labels = { app: 'pool' }
  const field = (name: string, fieldPath: string): object => ({ name, valueFrom: { fieldRef: { fieldPath } } })
  const env = [
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('POD_UID', 'metadata.uid'),
  ]
  const container = { name: 'worker', image: 'resqueue', args, env }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'pool' },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels, annotations }, spec: { ...ON_FAKE_NODES, containers: [container] } },
    },
  }
}

const readyPods = (pods: readonly Pod[]): readonly Pod[] =>
  pods.filter((pod) => pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'))

test('a Deployment gets its pods on fake nodes and loses them', async ({ cluster, namespace }) => {
  const list = async (): Promise<readonly Pod[]> =>
    (await cluster.api.get<{ items: readonly Pod[] }>(`/api/v1/namespaces/${namespace}/pods`)).items
  await cluster.apply([deployment({ replicas: 100 })], { namespace })
  await waitFor(async () => readyPods(await list()).length === 100)
  await cluster.kubectl('-n', namespace, 'scale', 'deployment/pool', '--replicas=0')
  await waitFor(async () => (await list()).length === 0)
})

test('fake pods may start late, or never get ready', async ({ cluster, namespace }) => {
  const slow = deployment({ replicas: 2, annotations: { 'resqueue.test/ready': 'false' } })
  await cluster.apply([slow], { namespace })
  const list = await waitFor(async () => {
    const { items } = await cluster.api.get<{ items: readonly Pod[] }>(`/api/v1/namespaces/${namespace}/pods`)
    return items.length === 2 && items.every((pod) => pod.status?.phase === 'Running') && items
  })
  expect(readyPods(list)).toEqual([])
  await cluster.apply([deployment({ replicas: 1, annotations: { 'resqueue.test/start-after': '1s' } })], { namespace })
  await cluster.kubectl('-n', namespace, 'rollout', 'status', 'deployment/pool', '--timeout=60s')
})

test('identities may do what they may', async ({ cluster, namespace }) => {
  await cluster.kubectl('-n', namespace, 'create', 'serviceaccount', 'someone')
  const as = { serviceAccount: `${namespace}/someone` }
  const args = ['auth', 'can-i', 'list', 'pods', '-n', namespace]
  expect((await cluster.run('kubectl', args, { as })).stdout.trim()).toBe('no')
  await cluster.kubectl(
    '-n',
    namespace,
    'create',
    'rolebinding',
    'b',
    '--clusterrole=view',
    `--serviceaccount=${namespace}:someone`,
  )
  await waitFor(async () => (await cluster.run('kubectl', args, { as })).stdout.trim() === 'yes')
  expect((await cluster.run('kubectl', args, { as: { user: 'alice' } })).stdout.trim()).toBe('no')
})

test('the restricted namespace refuses a pod that is not', async ({ cluster }) => {
  const namespace = await cluster.namespace({ restricted: true })
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'c', image: 'x' }] },
  }
  const { status, body } = await cluster.api.call('POST', `/api/v1/namespaces/${namespace}/pods`, { body: pod })
  expect([status, JSON.stringify(body)]).toEqual([403, expect.stringContaining('violates PodSecurity')])
})

test('real workers do the jobs of fake pods, and end with them', async ({ scene, cluster, namespace, redis, ns }) => {
  const ledger = startLedger()
  const runner = startPodRunner({ cluster, namespace, env: ledger.env })
  await cluster.apply([deployment({ replicas: 2, annotations: RUN_HERE, args: ['work', ...workArgs(scene)] })], {
    namespace,
  })
  const pods = await runner.settled(2)
  await cluster.kubectl('-n', namespace, 'rollout', 'status', 'deployment/pool', '--timeout=60s')
  const names = (await redis.smembers(`${ns}:workers`)).map((id) => id.split('.')[0])
  expect(new Set(names)).toEqual(new Set(pods.map(({ name }) => name)))

  // A process that dies is started again; its pod stays.
  const [first] = pods
  await first?.process.kill()
  await waitFor(() => runner.pods.some((pod) => pod.name === first?.name && pod.restarts === 1))
  await runner.settled(2)

  await cluster.kubectl('-n', namespace, 'scale', 'deployment/pool', '--replicas=0')
  await runner.settled(0)
  await waitFor(async () => (await redis.scard(`${ns}:workers`)) === 0)
})

test('an API server that is stopped, paused and started again serves the same objects', async ({ startPlane }) => {
  const plane = await startPlane({ nodes: 0, scheduler: false })
  const namespace = await plane.namespace()
  plane.apiServer.pause()
  await expect(plane.api.call('GET', '/readyz', { timeoutMs: 300 })).rejects.toThrow()
  plane.apiServer.resume()
  await plane.ready()
  await plane.apiServer.stop()
  await expect(plane.api.call('GET', '/readyz')).rejects.toThrow()
  await plane.apiServer.start()
  await plane.ready()
  expect((await plane.api.call('GET', `/api/v1/namespaces/${namespace}`)).status).toBe(200)
  await plane.stop()
  expect([plane.etcd, plane.apiServer, plane.controllerManager].map((part) => part.running)).toEqual([
    false,
    false,
    false,
  ])
})

test('only a cluster on this machine is taken without being asked', () => {
  expect(
    ['https://127.0.0.1:6443', 'https://localhost:1', 'https://0.0.0.0:2'].filter((server) => !isLocal(server)),
  ).toEqual([])
  expect(
    ['https://10.0.0.1', 'https://127.0.0.1.example.com', 'https://prod.example.com:6443'].filter(isLocal),
  ).toEqual([])
})
