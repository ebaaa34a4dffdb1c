import { expect } from 'vitest'
import { REDIS, test, type Manifest } from './helm.ts'

const EVERYTHING = {
  redis: { trial: { enabled: true } },
  workers: { default: { scaling: { enabled: true } }, 'a-pool-of-twenty-four-ch': {} },
  networkPolicy: { enabled: true },
  controller: { aggregateRoles: true, admissionPolicy: { enabled: true } },
  metrics: {
    podMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
  },
}

const LABEL = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/
const CLUSTER_WIDE = /^(Cluster|ValidatingAdmission)/

function expectSound(manifests: readonly Manifest[]): void {
  for (const { kind, metadata } of manifests) {
    const most = kind === 'ClusterRole' || kind === 'ClusterRoleBinding' ? 253 : 63
    expect(metadata.name, kind).toBeTypeOf('string')
    if (!CLUSTER_WIDE.test(kind)) {
      expect(metadata.name.length, `${kind} ${metadata.name}`).toBeLessThanOrEqual(most)
      expect(metadata.namespace).toBe('jobs')
    }
    for (const [key, value] of Object.entries(metadata.labels)) {
      expect(value, `${kind} ${metadata.name}: ${key}`).toBeTypeOf('string')
      expect(value.length).toBeLessThanOrEqual(63)
      expect(value).toMatch(LABEL)
    }
  }
  const ids = manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`)
  expect(new Set(ids).size).toBe(ids.length)
}

test.for(['y', 'no', '1', '1e3', '0x10', 'rq', 'resqueue', 'a'.repeat(53), '1'.repeat(53)])(
  'a release named %s',
  async (release, { helm }) => {
    const out = await helm.render(EVERYTHING, { release })
    expectSound(out.manifests)
    const worker = out.all('Deployment').find((one) => one.metadata.labels['resqueue.dev/pool'] === 'default')
    expect(worker?.metadata.labels['app.kubernetes.io/instance']).toBe(release)
    // A Service's name begins with a letter.
    for (const { metadata } of out.all('Service')) expect(metadata.name).toMatch(/^[a-z]/)
    expect(out.all('WorkerScaler')[0]?.spec.scaleTargetRef.name).toBe(worker?.metadata.name)
  },
)

test('names that are written in full', async ({ helm }) => {
  const name = async (values: object, release: string): Promise<string | undefined> =>
    (await helm.render({ ...REDIS, ...values }, { release })).all('Deployment').at(-1)?.metadata.name
  expect(await name({}, 'shop')).toBe('shop-resqueue-default')
  expect(await name({}, 'my-resqueue')).toBe('my-resqueue-default')
  expect(await name({ nameOverride: 'jobs' }, 'shop')).toBe('shop-jobs-default')
  expect(await name({ fullnameOverride: 'y' }, 'shop')).toBe('y-default')
})

test('releases whose names differ only at the end share no object', async ({ helm }) => {
  const long = 'r'.repeat(52)
  const [one, two] = [
    await helm.render(EVERYTHING, { release: `${long}1` }),
    await helm.render(EVERYTHING, { release: `${long}2` }),
  ]
  const names = (out: typeof one): string[] => out.manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`)
  const shared = names(one).filter((name) => names(two).includes(name))
  expect(shared).toEqual([])
})

test('selectors hold only labels that never change, and find their pods', async ({ helm }) => {
  const out = await helm.render({ ...EVERYTHING, commonLabels: { team: 'a' } })
  for (const { spec, metadata } of out.all('Deployment')) {
    const { matchLabels } = spec.selector
    expect(Object.keys(matchLabels).filter((key) => !/\/(name|instance|component|pool)$/.test(key))).toEqual([])
    expect(spec.template.metadata.labels, metadata.name).toMatchObject(matchLabels)
  }
  const selectors = out.all('Deployment').map(({ spec }) => JSON.stringify(spec.selector.matchLabels))
  expect(new Set(selectors).size).toBe(selectors.length)
})

test('labels that a user gives do not replace those that the chart needs', async ({ helm }) => {
  const mine = { 'app.kubernetes.io/name': 'mine', 'app.kubernetes.io/component': 'mine', team: 'on' }
  const out = await helm.render({
    ...REDIS,
    commonLabels: mine,
    workers: { default: { podLabels: { ...mine, extra: '1' } } },
  })
  const { spec } = out.get('Deployment', 'rq-resqueue-default')
  expect(spec.template.metadata.labels).toMatchObject({ ...spec.selector.matchLabels, team: 'on', extra: '1' })
  expect(spec.selector.matchLabels['app.kubernetes.io/name']).toBe('resqueue')
})

test('text that looks like something else stays text', async ({ helm }) => {
  const out = await helm.render({
    redis: { url: 'redis://redis:6379', namespace: '1e3' },
    workers: { on: { queues: ['yes', '1', 'null'], priorityClassName: 'no', env: [{ name: 'A', value: 'off' }] } },
    image: { repository: 'y', tag: '1.10' },
  })
  const container = out.container('rq-resqueue-on')
  expect(container.args).toContain('--queues=yes,1,null')
  expect(container.image).toBe('y:1.10')
  expect(out.pod('rq-resqueue-on').priorityClassName).toBe('no')
  expect(container.env).toEqual(
    expect.arrayContaining([
      { name: 'A', value: 'off' },
      { name: 'PREFIX', value: '1e3' },
    ]),
  )
})

test("a role in another namespace never has the name of that namespace's own", async ({ helm }) => {
  const roles = async (release: string, namespace: string): Promise<string[]> => {
    const out = await helm.render(
      { ...REDIS, controller: { namespaceScope: ['shop', 'jobs'] } },
      { release, namespace },
    )
    const all = [...out.all('Role'), ...out.all('RoleBinding')]
    return all.map(({ kind, metadata }) => `${metadata.namespace}/${kind}/${metadata.name}`)
  }
  const theirs = await roles('shop-rq', 'jobs')
  expect((await roles('rq', 'shop')).filter((name) => theirs.includes(name))).toEqual([])
})
