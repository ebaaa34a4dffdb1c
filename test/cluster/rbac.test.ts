import { expect } from 'vitest'
import { waitFor } from '../support/wait.ts'
import { deploy, type Values } from './releases.ts'
import { applyCrd } from './scaling.ts'
import type { Cluster } from './support/cluster.ts'
import type { Identity } from './support/kubeconfig.ts'
import { test } from './support/fixtures.ts'

const NAME = 'rq-resqueue-controller'

interface Question {
  readonly verb: string
  readonly group?: string
  readonly resource: string
  readonly subresource?: string
  readonly name?: string
  readonly namespace?: string
}

/** What `kubectl auth can-i` asks, about a service account. */
async function may(cluster: Cluster, account: string, question: Question): Promise<boolean> {
  const [namespace = '', name = ''] = account.split('/')
  const { status, body } = await cluster.api.call<{ status: { allowed: boolean } }>(
    'POST',
    '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    {
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: {
          user: `system:serviceaccount:${namespace}:${name}`,
          groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
          resourceAttributes: question,
        },
      },
    },
  )
  expect(status).toBe(201)
  return body.status.allowed
}

const text = ({ verb, group, resource, subresource, name }: Question): string =>
  `${verb} ${[group, resource, subresource].filter(Boolean).join('/')}${name ? ` ${name}` : ''}`

const needed = (drain: boolean): Question[] => [
  ...['get', 'list', 'watch'].map((verb) => ({ verb, group: 'resqueue.dev', resource: 'workerscalers' })),
  { verb: 'patch', group: 'resqueue.dev', resource: 'workerscalers', subresource: 'status' },
  ...['get', 'update'].map((verb) => ({ verb, group: 'apps', resource: 'deployments', subresource: 'scale' })),
  ...['list', 'watch', ...(drain ? ['patch'] : [])].map((verb) => ({ verb, resource: 'pods' })),
  ...['create', 'patch'].map((verb) => ({ verb, group: 'events.k8s.io', resource: 'events' })),
]

const forbidden = (drain: boolean): Question[] => [
  ...['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'].flatMap((verb) => [
    { verb, resource: 'secrets' },
    { verb, resource: 'configmaps' },
    { verb, group: 'apps', resource: 'deployments' },
    { verb, group: 'apps', resource: 'statefulsets' },
    { verb, group: 'rbac.authorization.k8s.io', resource: 'roles' },
    { verb, resource: 'nodes' },
  ]),
  ...['get', 'create', 'update', 'delete', 'deletecollection', ...(drain ? [] : ['patch'])].map((verb) => ({
    verb,
    resource: 'pods',
  })),
  ...['exec', 'attach', 'portforward', 'ephemeralcontainers', 'eviction', 'log'].flatMap((subresource) =>
    ['get', 'create', 'patch'].map((verb) => ({ verb, resource: 'pods', subresource })),
  ),
  { verb: 'create', resource: 'serviceaccounts', subresource: 'token' },
  { verb: 'impersonate', resource: 'users' },
  ...['create', 'update', 'patch', 'delete'].map((verb) => ({
    verb,
    group: 'resqueue.dev',
    resource: 'workerscalers',
  })),
  { verb: 'update', group: 'apps', resource: 'replicasets', subresource: 'scale' },
  ...['get', 'update', 'delete', 'patch'].map((verb) => ({
    verb,
    group: 'coordination.k8s.io',
    resource: 'leases',
    name: 'another',
  })),
]

/** Which of these a service account may do. */
async function allowed(
  cluster: Cluster,
  account: string,
  questions: readonly Question[],
  namespace: string,
): Promise<string[]> {
  const answers = await Promise.all(questions.map((one) => may(cluster, account, { ...one, namespace })))
  return questions.filter((_, index) => answers[index]).map(text)
}

test.for([true, false])(
  'the controller may do what it needs and no more, with drain %s',
  async (drain, { cluster, namespace }) => {
    await deploy(cluster, 'install', 'rq', namespace, { controller: { drain } })
    const account = `${namespace}/${NAME}`
    await waitFor(() => may(cluster, account, { verb: 'list', resource: 'pods', namespace }))
    expect(await allowed(cluster, account, needed(drain), namespace)).toEqual(needed(drain).map(text))
    expect(await allowed(cluster, account, forbidden(drain), namespace)).toEqual([])
    const lease = { group: 'coordination.k8s.io', resource: 'leases' }
    expect(await may(cluster, account, { ...lease, verb: 'create', namespace })).toBe(true)
    for (const verb of ['get', 'update'])
      expect(await may(cluster, account, { ...lease, verb, name: NAME, namespace })).toBe(true)
    // Another namespace is none of its business.
    const other = await cluster.namespace()
    expect(await allowed(cluster, account, needed(drain), other)).toEqual([])
  },
)

test('workers may do nothing at all', async ({ cluster, namespace }) => {
  await deploy(cluster, 'install', 'rq', namespace)
  await waitFor(() => may(cluster, `${namespace}/${NAME}`, { verb: 'list', resource: 'pods', namespace }))
  const all = [...needed(true), ...forbidden(true)]
  expect(await allowed(cluster, `${namespace}/rq-resqueue-default`, all, namespace)).toEqual([])
})

test('a controller for all namespaces may do the same everywhere, and no more', async ({ cluster, namespace }) => {
  await deploy(cluster, 'install', 'rq', namespace, { controller: { namespaceScope: ['*'] } })
  const other = await cluster.namespace()
  const account = `${namespace}/${NAME}`
  await waitFor(() => may(cluster, account, { verb: 'list', resource: 'pods', namespace: other }))
  expect(await allowed(cluster, account, needed(true), other)).toEqual(needed(true).map(text))
  expect(await allowed(cluster, account, forbidden(true), other)).toEqual([])
  expect(
    await may(cluster, account, { verb: 'create', group: 'coordination.k8s.io', resource: 'leases', namespace: other }),
  ).toBe(false)
  const { code, stderr } = await cluster.run('helm', ['uninstall', 'rq', '--namespace', namespace])
  expect(code, stderr).toBe(0)
})

test('a controller for two namespaces has a role in each', async ({ cluster, namespace }) => {
  const other = await cluster.namespace()
  await deploy(cluster, 'install', 'rq', namespace, { controller: { namespaceScope: [namespace, other] } })
  const account = `${namespace}/${NAME}`
  for (const where of [namespace, other]) {
    await waitFor(() => may(cluster, account, { verb: 'list', resource: 'pods', namespace: where }))
    expect(await allowed(cluster, account, needed(true), where)).toEqual(needed(true).map(text))
  }
})

test('the built-in roles get WorkerScalers where that is asked for', async ({ cluster, namespace }) => {
  await applyCrd(cluster)
  await deploy(cluster, 'install', 'rq', namespace, { controller: { aggregateRoles: true } })
  const people = { view: 'ann', edit: 'ben' } as const
  for (const [role, user] of Object.entries(people))
    await cluster.kubectl('-n', namespace, 'create', 'rolebinding', user, `--clusterrole=${role}`, `--user=${user}`)
  const can = async (user: string, verb: string): Promise<boolean> => {
    const as: Identity = { user }
    const args = ['auth', 'can-i', verb, 'workerscalers.resqueue.dev', '-n', namespace]
    return (await cluster.run('kubectl', args, { as })).stdout.trim() === 'yes'
  }
  await waitFor(() => can(people.view, 'list'))
  await waitFor(() => can(people.edit, 'create'))
  expect(await can(people.view, 'create')).toBe(false)
  expect(await can(people.edit, 'list')).toBe(true)
  const { code, stderr } = await cluster.run('helm', ['uninstall', 'rq', '--namespace', namespace])
  expect(code, stderr).toBe(0)
})

test('with the admission policy the controller changes only its annotations of a pod', async ({
  cluster,
  namespace,
}) => {
  const values: Values = { controller: { admissionPolicy: { enabled: true } } }
  await deploy(cluster, 'install', 'rq', namespace, values)
  await cluster.kubectl('-n', namespace, 'rollout', 'status', 'deploy/rq-resqueue-default', '--timeout=60s')
  const pods = await cluster.kubectl('-n', namespace, 'get', 'pods', '-l', 'resqueue.dev/pool=default', '-o', 'name')
  const pod = pods.trim().split('\n')[0] ?? ''
  // kubectl reads what it patches; the controller does not.
  await cluster.kubectl('-n', namespace, 'create', 'role', 'reader', '--verb=get', '--resource=pods')
  const account = `--serviceaccount=${namespace}:${NAME}`
  await cluster.kubectl('-n', namespace, 'create', 'rolebinding', 'reader', '--role=reader', account)
  const as: Identity = { serviceAccount: `${namespace}/${NAME}` }
  const patch = (body: object, who: Identity = as): Promise<{ code: number; stderr: string }> =>
    cluster.run('kubectl', ['-n', namespace, 'patch', pod, '--type=merge', '-p', JSON.stringify(body)], { as: who })
  const image = { spec: { containers: [{ name: 'worker', image: 'evil' }] } }
  // A policy counts a moment after it was made. Until then a dry run leaves the pod as it is: a change that got
  // through would make the same patch no change at all, which no policy refuses.
  const strategic = ['patch', pod, '--type=strategic', '--dry-run=server', '-p', JSON.stringify(image)]
  const evil = (): Promise<{ code: number; stderr: string }> =>
    cluster.run('kubectl', ['-n', namespace, ...strategic], { as })
  await waitFor(async () => (await evil()).stderr.includes("may not change a pod's spec"), {
    describe: evil,
  })
  expect((await patch({ metadata: { labels: { 'resqueue.dev/pool': 'x' } } })).stderr).toContain(
    'labels, owners or finalizers',
  )
  expect((await patch({ metadata: { finalizers: ['a.b/c'] } })).stderr).toContain('labels, owners or finalizers')
  expect((await patch({ metadata: { annotations: { other: 'x' } } })).stderr).toContain('only the annotations')
  for (const key of [
    'controller.kubernetes.io/pod-deletion-cost',
    'karpenter.sh/do-not-disrupt',
    'cluster-autoscaler.kubernetes.io/safe-to-evict',
  ]) {
    const set = await patch({ metadata: { annotations: { [key]: '-5' } } })
    expect(set.code, set.stderr).toBe(0)
    const unset = await patch({ metadata: { annotations: { [key]: null } } })
    expect(unset.code, unset.stderr).toBe(0)
  }
  const admin = await patch({ metadata: { annotations: { other: 'x' } } }, 'admin')
  expect(admin.code, admin.stderr).toBe(0)
  expect((await patch({ metadata: { annotations: { other: null } } })).stderr).toContain('only the annotations')
  const { code, stderr } = await cluster.run('helm', ['uninstall', 'rq', '--namespace', namespace])
  expect(code, stderr).toBe(0)
})
