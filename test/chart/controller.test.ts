import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { parse } from 'yaml'
import { ROOT } from '../support/process.ts'
import { REDIS, test, type Rendered, type Yaml } from './helm.ts'

const NAME = 'rq-resqueue-controller'

const verbs = (rules: Yaml[]): Record<string, string[]> =>
  Object.fromEntries(
    rules.flatMap((rule) =>
      rule.resources.map((one: string) => [`${one}${rule.resourceNames ? ' (named)' : ''}`, rule.verbs]),
    ),
  )

test('by default it may work in its own namespace only, and little', async ({ helm }) => {
  const out = await helm.render({ ...REDIS })
  expect(out.manifests.filter(({ kind }) => kind.startsWith('Cluster'))).toEqual([])
  expect(verbs(out.get('Role', NAME)['rules'])).toEqual({
    workerscalers: ['get', 'list', 'watch'],
    'workerscalers/status': ['patch'],
    'deployments/scale': ['get', 'update'],
    pods: ['list', 'watch', 'patch'],
    events: ['create', 'patch'],
  })
  expect(verbs(out.get('Role', `${NAME}-leader`)['rules'])).toEqual({
    leases: ['create'],
    'leases (named)': ['get', 'update'],
  })
  expect(out.container(NAME).args).toEqual([
    'control',
    '--port=9090',
    `--lease-name=${NAME}`,
    '--log-level=info',
    '--max-recoveries=3',
  ])
})

test('drain: false goes without the right to change pods, and tells the scalers', async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    controller: { drain: false },
    workers: { default: { scaling: { enabled: true } } },
  })
  expect(verbs(out.get('Role', NAME)['rules'])['pods']).toEqual(['list', 'watch'])
  expect(out.all('WorkerScaler')[0]?.spec.scaleDown).toEqual({ drain: false })
})

test.for([
  ['protect', { protect: ['karpenter'] }],
  ['scaleDown.drain', { scaleDown: { drain: true } }],
] as const)(
  'drain: false refuses a pool whose scaling says %s, which needs that right',
  async ([field, more], { helm }) => {
    const pool = { ...REDIS, workers: { mail: { scaling: { enabled: true, ...more } } } }
    const refusal = await helm.refusal({ ...pool, controller: { drain: false } })
    expect(refusal).toContain(`workers.mail.scaling.${field} needs the verb \`patch\` on pods`)
    // Where another release's controller does it, its role says what it may.
    const elsewhere = await helm.render({ ...pool, controller: { enabled: false, drain: false } })
    expect(elsewhere.all('WorkerScaler')[0]?.spec).toMatchObject(more)
  },
)

test('a pool is protected without being drained where the controller has the right', async ({ helm }) => {
  const scaling = { enabled: true, protect: ['karpenter'], scaleDown: { drain: false } }
  const out = await helm.render({ ...REDIS, workers: { default: { scaling } } })
  expect(verbs(out.get('Role', NAME)['rules'])['pods']).toContain('patch')
  expect(out.all('WorkerScaler')[0]?.spec).toMatchObject({ protect: ['karpenter'], scaleDown: { drain: false } })
})

test('for named namespaces a role in each of them', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, controller: { namespaceScope: ['jobs', 'shop'] } })
  expect(out.container(NAME).args).toContain('--namespace-scope=jobs,shop')
  const roles = out.all('Role').map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
  expect(roles).toEqual(expect.arrayContaining([`jobs/${NAME}`, `jobs/${NAME}-leader`, `shop/jobs:${NAME}`]))
  const binding = out.get('RoleBinding', `jobs:${NAME}`)
  expect(binding['subjects']).toEqual([{ kind: 'ServiceAccount', name: NAME, namespace: 'jobs' }])
  expect(binding['roleRef'].name).toBe(`jobs:${NAME}`)
})

test('for all namespaces a ClusterRole with the same rules, whose name holds the namespace', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, controller: { namespaceScope: ['*'] } })
  expect(out.container(NAME).args).toContain('--namespace-scope=*')
  const own = (await helm.render({ ...REDIS })).get('Role', NAME)['rules']
  expect(out.get('ClusterRole', `jobs:${NAME}`)['rules']).toEqual(own)
  expect(out.all('Role').map(({ metadata }) => metadata.name)).toEqual([`${NAME}-leader`])
})

test('without the controller nothing of it is left', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, controller: { enabled: false, admissionPolicy: { enabled: true } } })
  expect(out.manifests.filter(({ metadata }) => metadata.name.includes('controller'))).toEqual([])
})

test('dry run, log level and further options', async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    controller: { dryRun: true, logLevel: 'debug', extraArgs: ['--x=1'], replicas: 2 },
  })
  expect(out.container(NAME).args).toEqual(expect.arrayContaining(['--dry-run', '--log-level=debug', '--x=1']))
  expect(out.get('Deployment', NAME).spec.replicas).toBe(2)
})

const CONNECTIONS = {
  shop: {
    url: 'rediss://shop:6379',
    username: 'resqueue',
    namespace: 'shop',
    existingSecret: { name: 'shop', passwordKey: 'pw', sentinelPasswordKey: 'spw' },
    sentinelUsername: 'watch',
    tls: { existingSecret: 'shop-tls', caKey: 'ca.crt', certKey: 'tls.crt', keyKey: 'tls.key' },
    allowedNamespaces: ['shop'],
  },
  other: { existingSecret: 'other', allowedNamespaces: ['*'] },
}

function mounted(out: Rendered): Set<string> {
  const { volumes } = out.pod(NAME)
  return new Set(
    out.container(NAME).volumeMounts.flatMap((mount: Yaml) => {
      const volume = volumes.find((one: Yaml) => one.name === mount.name)
      const items = volume.projected?.sources.flatMap((source: Yaml) => source.secret.items) ?? []
      return items.map((item: { path: string }) => `${mount.mountPath}/${item.path}`)
    }),
  )
}

test('further connections: what the file names is mounted', async ({ helm }) => {
  const out = await helm.render({
    redis: { existingSecret: { name: 'main' } },
    controller: { connections: CONNECTIONS },
  })
  const { connections }: Yaml = parse(out.get('ConfigMap', 'rq-resqueue-connections')['data']['connections.yaml'])
  const at = '/etc/resqueue/connections'
  expect(connections).toEqual({
    default: { namespace: 'resque', allowedNamespaces: ['*'], maxRecoveries: 3, urlFile: `${at}/default/url` },
    shop: {
      url: 'rediss://shop:6379',
      username: 'resqueue',
      namespace: 'shop',
      allowedNamespaces: ['shop'],
      passwordFile: `${at}/shop/password`,
      sentinelUsername: 'watch',
      sentinelPasswordFile: `${at}/shop/sentinel-password`,
      caFile: `${at}/shop/ca.pem`,
      certFile: `${at}/shop/cert.pem`,
      keyFile: `${at}/shop/key.pem`,
    },
    other: { namespace: 'resque', allowedNamespaces: ['*'], urlFile: `${at}/other/url` },
  })
  const named = Object.values(connections as Record<string, Record<string, string>>).flatMap((one) =>
    Object.entries(one).flatMap(([key, value]) => (key.endsWith('File') ? [value] : [])),
  )
  expect([...mounted(out)].sort()).toEqual(named.sort())
  expect(out.container(NAME).args).toContain('--connections=/etc/resqueue/controller/connections.yaml')
})

const connectionsOf = (out: Rendered): Yaml =>
  parse(out.get('ConfigMap', 'rq-resqueue-connections')['data']['connections.yaml']).connections

test("redis.allowedNamespaces says who may use the release's own Redis, with further connections or without", async ({
  helm,
}) => {
  const redis = { existingSecret: { name: 'main' }, allowedNamespaces: ['jobs'] }
  for (const controller of [{}, { connections: CONNECTIONS }]) {
    const out = await helm.render({ redis, controller })
    expect(connectionsOf(out).default).toMatchObject({ allowedNamespaces: ['jobs'] })
    expect(out.container(NAME).args).toContain('--connections=/etc/resqueue/controller/connections.yaml')
    expect(mounted(out)).toContain('/etc/resqueue/connections/default/url')
  }
  expect(await helm.refusal({ redis: { ...redis, allowedNamespaces: [] } })).toMatch(/allowedNamespaces/)
})

const guide = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8')
const tenants: Yaml = parse(/```yaml\n( +controller:\n.*?)```/s.exec(guide)?.[1] ?? '')

test("the operations guide's release for tenants has their connections and no other", async ({ helm }) => {
  const out = await helm.render({ ...tenants, networkPolicy: { enabled: true } })
  expect(connectionsOf(out)).toEqual({
    shop: {
      url: 'rediss://redis.shop.svc:6379',
      namespace: 'shop',
      allowedNamespaces: ['shop', 'shop-staging'],
      passwordFile: '/etc/resqueue/connections/shop/password',
    },
  })
  expect(out.container(NAME).env.map((one: Yaml) => one.name)).not.toContain('REDIS_URL')
  const { egress } = out.get('NetworkPolicy', NAME).spec
  expect(egress.map((rule: Yaml) => rule.ports.map(({ port }: { port: number }) => port))).toEqual([
    [53, 53],
    [6379],
    [443, 6443],
  ])
  expect(await helm.notes(tenants)).toContain('controller: watches all namespaces')
})

test.for([
  ['a pool', { workers: { default: {} } }],
  ['no connections', { controller: { ...tenants.controller, connections: {} } }],
  ['no controller', { controller: { ...tenants.controller, enabled: false } }],
] as const)('without a Redis of its own a release is refused with %s', async ([, more], { helm }) => {
  expect(await helm.refusal({ ...tenants, ...more })).toMatch(/Say where Redis is/)
})

test.for([
  [{}, /does not say where its Redis is/],
  [{ url: 'redis://a', existingSecret: { passwordKey: 'pw' } }, /connections\.shop\.existingSecret: .* Set its name/],
  [{ url: 'redis://a', existingSecret: { name: 'b' } }, /both say where its Redis is/],
  [{ url: 'redis-cluster://a' }, /controller\.connections\.shop\.namespace: .*'{resque}'/],
] as const)('refused: connection %j', async ([shop, message], { helm }) => {
  const connections = { shop: { ...shop, allowedNamespaces: ['shop'] } }
  expect(await helm.refusal({ ...REDIS, controller: { connections } })).toMatch(message)
})

test('a WorkerScaler names the controller of its release, where that serves its namespace', async ({ helm }) => {
  const named = async (controller: object): Promise<unknown> => {
    const out = await helm.render({ ...REDIS, controller, workerDefaults: { scaling: { enabled: true } } })
    return (out.get('WorkerScaler', 'rq-resqueue-default').metadata as Yaml).annotations
  }
  const own = { 'resqueue.dev/controller': NAME }
  for (const namespaceScope of [[], ['*'], ['shop', 'jobs']]) expect(await named({ namespaceScope })).toEqual(own)
  for (const controller of [{ namespaceScope: ['shop'] }, { enabled: false }])
    expect(await named(controller)).toBeUndefined()
})

test('a connection with a certificate Secret has TLS without naming its keys', async ({ helm }) => {
  const shop = { url: 'redis://shop:6379', allowedNamespaces: ['shop'] }
  const render = async (tls: object): Promise<string> =>
    JSON.stringify((await helm.render({ ...REDIS, controller: { connections: { shop: { ...shop, tls } } } })).manifests)
  expect(await render({ existingSecret: 'shop-tls' })).toContain('{"key":"ca.crt","path":"ca.pem"}')
  expect(await render({ existingSecret: 'shop-tls', caKey: '', certKey: 'tls.crt' })).not.toContain('ca.pem')
})

test('without further connections there is no file of them', async ({ helm }) => {
  const out = await helm.render({ ...REDIS })
  expect(out.all('ConfigMap')).toEqual([])
  expect(out.pod(NAME).volumes).toHaveLength(1)
})

test('roles for people join the built-in ones', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, controller: { aggregateRoles: true } })
  const view = out.get('ClusterRole', 'jobs:rq-resqueue-workerscalers-view')
  expect(view.metadata.labels).toMatchObject({ 'rbac.authorization.k8s.io/aggregate-to-view': 'true' })
  expect(verbs(view['rules'])['workerscalers']).toEqual(['get', 'list', 'watch'])
  const edit = out.get('ClusterRole', 'jobs:rq-resqueue-workerscalers-edit')
  expect(edit.metadata.labels).not.toHaveProperty(['rbac.authorization.k8s.io/aggregate-to-view'])
  expect(verbs(edit['rules'])['workerscalers']).toContain('delete')
})

test('an account that is not its own has to be named, or it would be that of every pod', async ({ helm }) => {
  const controller = (name: string) => ({ ...REDIS, controller: { serviceAccount: { create: false, name } } })
  expect(await helm.refusal(controller(''))).toContain('controller.serviceAccount: with create: false it needs a name')
  const subjects = (await helm.render(controller('mine'))).all('RoleBinding').map(({ subjects }) => subjects[0].name)
  expect(new Set(subjects)).toEqual(new Set(['mine']))
})

test('the admission policy is about this service account alone', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, controller: { admissionPolicy: { enabled: true } } })
  const [policy] = out.all('ValidatingAdmissionPolicy')
  expect(policy?.spec.matchConditions[0].expression).toBe(
    `request.userInfo.username == 'system:serviceaccount:jobs:${NAME}'`,
  )
  expect(out.all('ValidatingAdmissionPolicyBinding')[0]?.spec.policyName).toBe(policy?.metadata.name)
})
