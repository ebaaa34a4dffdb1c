import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LEDGER_JOBS } from '../support/ledger.ts'
import { ROOT, spawnCli, type TestProcess } from '../support/process.ts'
import { own } from '../support/scope.ts'
import { PATIENCE_MS, waitFor } from '../support/wait.ts'
import { startFakeFleet, type FakeFleet } from './fakefleet.ts'
import type { Cluster, KubeObject } from './support/cluster.ts'
import type { Scene } from './support/fixtures.ts'
import { readKubeconfig } from './support/kubeconfig.ts'
import { ON_FAKE_NODES } from './support/kwok.ts'
import type { Pod } from './support/pod.ts'
import { RUN_HERE } from './support/podrunner.ts'

/**
 * What the tests of the controller share: our kind, its objects, the controller as a process, and looks at all of it.
 */

export const CRD: string = readFileSync(join(ROOT, 'charts/resqueue/crds/workerscaler.yaml'), 'utf8')

/** Shorter than anybody would set them, so that a test sees them pass. */
export const QUICK = {
  pollingIntervalSeconds: 1,
  cooldownSeconds: 2,
  behavior: { scaleDown: { stabilizationWindowSeconds: 1, tolerance: 0 } },
}

/** Puts our kind into a cluster, as `kubectl apply --server-side` does, and waits until it is served. */
export async function applyCrd(cluster: Cluster): Promise<void> {
  await cluster.apply(CRD)
  const path = '/apis/resqueue.dev/v1alpha1/workerscalers?limit=1'
  await waitFor(async () => (await cluster.api.call('GET', path)).status === 200)
}

/** A WorkerScaler of the Deployment `w` on the queue `q`; `spec` goes over the rest. */
export function scalerManifest(name: string, spec: object = {}): KubeObject {
  return {
    apiVersion: 'resqueue.dev/v1alpha1',
    kind: 'WorkerScaler',
    metadata: { name },
    spec: {
      scaleTargetRef: { name: 'w' },
      queues: ['q'],
      maxReplicas: 5,
      target: { latencySeconds: 30 },
      ...spec,
    },
  }
}

export interface PoolSetup {
  readonly name?: string
  readonly replicas?: number
  readonly annotations?: Readonly<Record<string, string>>
  /** Arguments of `resqueue work`, for pods that are real processes; without them the pods only pretend. */
  readonly args?: readonly string[]
  readonly graceSeconds?: number
}

export interface Deployment extends KubeObject {
  readonly spec: {
    readonly replicas: number
    readonly template: { readonly metadata: object; readonly spec: object }
    readonly [field: string]: unknown
  }
}

/** A Deployment as the chart makes it, in so far as it matters here. */
export function pool({ name = 'w', replicas = 0, annotations, args, graceSeconds = 30 }: PoolSetup = {}): Deployment {
  const labels = { app: name }
  const field = (variable: string, fieldPath: string): object => ({
    name: variable,
    valueFrom: { fieldRef: { fieldPath } },
  })
  const env = [
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('POD_UID', 'metadata.uid'),
  ]
  const container = { name: 'worker', image: 'resqueue', env, ...(args && { args: ['work', ...args] }) }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations: { ...(args && RUN_HERE), ...annotations } },
        spec: { ...ON_FAKE_NODES, terminationGracePeriodSeconds: graceSeconds, containers: [container] },
      },
    },
  }
}

/** Arguments of a worker that performs the jobs of the ledger. */
export function workArgs({ redisUrl, ns }: Scene, more: readonly string[] = []): readonly string[] {
  return [
    '--redis',
    redisUrl,
    '--namespace',
    ns,
    '--queues',
    'q',
    '--isolation',
    'inline',
    '--jobs',
    LEDGER_JOBS,
    ...more,
  ]
}

/** What the chart grants a controller that serves one namespace. */
export function rbac(namespace: string): KubeObject[] {
  const role = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'controller' },
    rules: [
      { apiGroups: ['resqueue.dev'], resources: ['workerscalers'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['resqueue.dev'], resources: ['workerscalers/status'], verbs: ['patch'] },
      { apiGroups: ['apps'], resources: ['deployments/scale'], verbs: ['get', 'update'] },
      { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch', 'patch'] },
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
      { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
    ],
  }
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'controller' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'controller' },
    subjects: [{ kind: 'ServiceAccount', name: 'controller', namespace }],
  }
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'controller' } }
  return [account, role, binding] as KubeObject[]
}

export interface ControllerSetup {
  /** Instead of the controller's own service account. */
  readonly kubeconfig?: string
  /** Finds the API server as in a pod: by environment and the service account's files. */
  readonly inPod?: boolean
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Entry {
  readonly msg: string
  readonly [field: string]: unknown
}

/** A controller in a process of its own. */
export interface RunningController {
  readonly process: TestProcess
  readonly log: readonly Entry[]
  says(words: string, timeoutMs?: number): Promise<Entry>
  get(path: string): Promise<{ status: number; body: string }>
  /** The value of a metric, by its name and all of its labels as they are written. */
  metric(line: string): Promise<number | undefined>
}

/** Starts `resqueue control` with the rights that the chart gives it. */
export async function startController(scene: Scene, setup: ControllerSetup = {}): Promise<RunningController> {
  const { cluster, namespace, redisUrl, ns } = scene
  const { args = [], env = {} } = setup
  await cluster.apply(rbac(namespace), { namespace })
  const file = setup.kubeconfig ?? (await cluster.kubeconfig({ serviceAccount: `${namespace}/controller` }))
  const common = ['--redis', redisUrl, '--namespace', ns, '--namespace-scope', namespace, '--port', '0']
  const flags = setup.inPod ? common : [...common, '--kubeconfig', file]
  const process = spawnCli(['control', ...flags, '--log-level', 'debug', ...args], {
    env: { POD_NAME: 'controller', POD_NAMESPACE: namespace, ...(setup.inPod && inPod(file)), ...env },
  })
  const log = (): Entry[] =>
    process.lines.flatMap(({ stream, text }) =>
      stream === 'stdout' && text.startsWith('{') ? [JSON.parse(text) as Entry] : [],
    )
  const get: RunningController['get'] = async (path) => {
    const port = log().find(({ msg }) => msg.includes('health and metrics'))?.['port'] as number
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: response.status, body: await response.text() }
  }
  const controller: RunningController = {
    process,
    get log() {
      return log()
    },
    says: (words, timeoutMs = PATIENCE_MS) =>
      waitFor(() => log().find(({ msg }) => msg.includes(words)), {
        timeoutMs,
        describe: () =>
          `"${words}" in the controller's log: ${process.stdout.slice(-3000)}${process.stderr.slice(-2000)}`,
      }),
    get,
    metric: async (line) => {
      const found = (await get('/metrics')).body.split('\n').find((one) => one.startsWith(`${line} `))
      return found === undefined ? undefined : Number(found.slice(line.length + 1))
    },
  }
  await controller.says('controller started')
  return controller
}

/** The environment and the files that a pod has, from a kubeconfig with a token. */
function inPod(kubeconfig: string): Readonly<Record<string, string>> {
  const { server, ca = '', token = '' } = readKubeconfig(readFileSync(kubeconfig, 'utf8'))
  const dir = mkdtempSync(join(tmpdir(), 'resqueue-service-account-'))
  own('service account', () => rmSync(dir, { recursive: true, force: true }))
  writeFileSync(join(dir, 'ca.crt'), ca)
  writeFileSync(join(dir, 'token'), token, { mode: 0o600 })
  const { hostname, port } = new URL(server)
  return { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port, RESQUEUE_SERVICE_ACCOUNT_DIR: dir }
}

interface Status {
  readonly replicas?: number
  readonly desiredReplicas?: number
  readonly draining?: { readonly count: number; readonly names: readonly string[] }
  readonly conditions?: readonly {
    readonly type: string
    readonly status: string
    readonly reason: string
    readonly message: string
  }[]
  readonly [field: string]: unknown
}

export function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true
}

export type Looker = ReturnType<typeof looker>

/** Looks at the objects of one namespace. */
export function looker({ cluster, namespace }: Pick<Scene, 'cluster' | 'namespace'>) {
  const apps = `/apis/apps/v1/namespaces/${namespace}/deployments`
  const scalers = `/apis/resqueue.dev/v1alpha1/namespaces/${namespace}/workerscalers`
  const status = async (name = 's'): Promise<Status> =>
    (await cluster.api.get<{ status?: Status }>(`${scalers}/${name}`)).status ?? {}
  /** Of every scaler, for failures. */
  const statuses = async (): Promise<string> =>
    JSON.stringify((await cluster.api.get<{ items: { status?: Status }[] }>(scalers)).items.map((one) => one.status))
  const replicas = async (name = 'w'): Promise<number> =>
    (await cluster.api.get<{ spec: { replicas: number } }>(`${apps}/${name}`)).spec.replicas
  /** Those that are not being deleted. */
  const pods = async (name = 'w'): Promise<readonly Pod[]> => {
    const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=app%3D${name}`
    const { items } = await cluster.api.get<{ items: readonly Pod[] }>(path)
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  }
  return {
    status,
    replicas,
    pods,
    /** Waits until there are exactly so many pods, all of them ready. */
    settled: (count: number): Promise<readonly Pod[]> =>
      waitFor(
        async () => {
          const found = await pods()
          return found.length === count && found.every(isReady) && found
        },
        { describe: async () => `${count} ready pods: ${JSON.stringify(await pods())}` },
      ),
    /** Of these pods, how many are gone. */
    lost: async (uids: Iterable<string>): Promise<number> => {
      const left = new Set((await pods()).map(({ metadata }) => metadata.uid))
      return [...uids].filter((uid) => !left.has(uid)).length
    },
    /** `True Scaling`, or undefined where there is no such condition. */
    condition: async (type: string, name = 's'): Promise<string | undefined> => {
      const found = (await status(name)).conditions?.find((one) => one.type === type)
      return found && `${found.status} ${found.reason}`
    },
    events: async (): Promise<readonly { reason: string; note: string }[]> =>
      (
        await cluster.api.get<{ items: { reason: string; note: string }[] }>(
          `/apis/events.k8s.io/v1/namespaces/${namespace}/events?limit=500`,
        )
      ).items,
    scale: (to: number, name = 'w') =>
      cluster.api.call('PATCH', `${apps}/${name}/scale`, { body: { spec: { replicas: to } } }),
    edit: async (spec: object, name = 's'): Promise<void> => {
      const { status: code, body } = await cluster.api.call('PATCH', `${scalers}/${name}`, { body: { spec } })
      if (code !== 200) throw new Error(`The scaler cannot be edited: ${JSON.stringify(body)}`)
    },
    remove: (name = 's') => cluster.api.call('DELETE', `${scalers}/${name}`),
    reaches: (wanted: number, name = 'w', timeoutMs = PATIENCE_MS) =>
      waitFor(async () => (await replicas(name)) === wanted, {
        timeoutMs,
        everyMs: 50,
        describe: async () =>
          `${wanted} replicas; there are ${await replicas(name)}, pods ${JSON.stringify(await pods(name))}, scalers ${await statuses()}`,
      }),
  }
}

/** Puts our kind into a cluster. */
export async function stageKind(scene: Scene): Promise<Looker> {
  await applyCrd(scene.cluster)
  return looker(scene)
}

/**
 * Puts our kind, a Deployment `w` and the scaler `s` of it with this spec into a cluster. Resolves when they are
 * applied: pods may still be missing, and no controller runs.
 */
export async function stage(scene: Scene, deployment: Deployment, spec: object): Promise<Looker> {
  const { cluster, namespace } = scene
  const look = await stageKind(scene)
  await cluster.apply([deployment, scalerManifest('s', spec)], { namespace })
  return look
}

export interface FleetStage {
  readonly look: Looker
  readonly fleet: FakeFleet
  /** Those that were there at the beginning. */
  readonly pods: readonly Pod[]
}

/**
 * `stage` with pods that pretend and workers that are only in Redis, of so many slots each. Resolves when exactly as
 * many pods are there as the Deployment asks for, all of them ready, and each has its worker. No controller runs.
 */
export async function stageFleet(scene: Scene, deployment: Deployment, spec: object, slots = 1): Promise<FleetStage> {
  const look = await stage(scene, deployment, spec)
  const fleet = startFakeFleet(scene, { slots })
  const pods = await look.settled(deployment.spec.replicas)
  await fleet.follow()
  return { look, fleet, pods }
}
