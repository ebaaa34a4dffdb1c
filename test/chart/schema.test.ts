import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { parse } from 'yaml'
import { CHART, REDIS, test, type Yaml } from './helm.ts'

const schema: Yaml = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8'))
const values: Yaml = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8'))

test.for([
  [{ replica: 1 }, /replica/],
  [{ workerDefaults: { concurency: 4 } }, /concurency/],
  [{ workers: { default: { replica: 4 } } }, /replica/],
  [{ workers: { default: { scaling: { minReplica: 1 } } } }, /minReplica/],
  [{ workers: { default: { scaling: { target: { latency: 1 } } } } }, /latency/],
  [{ workers: { default: { scaling: { maxReplicas: 0 } } } }, /maxReplicas/],
  [{ workers: { default: { scaling: { behavior: { scaleDown: { policy: [] } } } } } }, /policy/],
  [{ controller: { replica: 1 } }, /replica/],
  [{ redis: { uri: 'x' } }, /uri/],
  [{ redis: { existingSecret: { secret: 'x' } } }, /secret/],
  [{ redis: { url: 'http://redis' } }, /url/],
  [{ metrics: { podMonitor: { enable: true } } }, /enable/],
  [{ metrics: { prometheusRule: { disabled: ['ResqueueNoWorker'] } } }, /disabled/],
  [{ networkPolicy: { enabled: 'yes' } }, /enabled/],
  [{ workers: { Bad_Name: {} } }, /at '\/workers': .*Bad_Name/],
  [{ workers: { '-a': {} } }, /-a/],
  [{ workers: { 'a-': {} } }, /a-/],
  [{ workers: { 'a.b': {} } }, /a\.b/],
  [{ workers: { ['a'.repeat(25)]: {} } }, /aaaa/],
  [{ workers: { '1a': {} } }, /1a/],
  [{ workers: { controller: {} } }, /at '\/workers\/controller'/],
  [{ workers: { 'trial-redis': {} } }, /trial-redis/],
  [{ workers: { 'helm-test': {} } }, /helm-test/],
  [{ workers: { default: { queues: [] } } }, /queues/],
  [{ workers: { default: { queues: ['a,b'] } } }, /queues/],
  [{ workers: { default: { queues: 'a' } } }, /queues/],
  [{ workers: { default: { concurrency: 0 } } }, /concurrency/],
  [{ workers: { default: { concurrency: 513 } } }, /concurrency/],
  [{ workers: { default: { isolation: 'thread' } } }, /isolation/],
  [{ workers: { default: { jobMemory: '1G' } } }, /jobMemory/],
  [{ workers: { default: { jobMemory: '1Ti' } } }, /jobMemory/],
  [{ workers: { default: { jobMemory: 8 } } }, /jobMemory/],
  [{ workers: { default: { timeout: 0 } } }, /timeout/],
  [{ workers: { default: { timeout: '5min' } } }, /timeout/],
  [{ workers: { default: { shutdownTimeoutSeconds: -1 } } }, /shutdownTimeoutSeconds/],
  [{ workers: { default: { env: [{ name: 'A', value: 1 }] } } }, /value/],
  [{ image: { digest: 'sha256:abc' } }, /digest/],
  [{ image: { pullPolicy: 'never' } }, /pullPolicy/],
  [
    { controller: { connections: { default: { allowedNamespaces: ['*'] } } } },
    /at '\/controller\/connections\/default'/,
  ],
  [
    { controller: { connections: { ['a'.repeat(41)]: { allowedNamespaces: ['*'] } } } },
    /at '\/controller\/connections': .*aaa/,
  ],
  [{ controller: { connections: { shop: { url: 'redis://a' } } } }, /allowedNamespaces/],
] as const)('refused: %j', async ([wrong, message], { helm }) => {
  const error = await helm.refusal({ ...REDIS, ...wrong })
  expect(error).toContain("don't meet the specifications of the schema")
  expect(error).toMatch(message)
})

test('names of pools and connections as long as they may be', async ({ helm }) => {
  const connections = { ['a'.repeat(40)]: { url: 'redis://a', allowedNamespaces: ['a'] } }
  const out = await helm.render({ ...REDIS, workers: { ['a'.repeat(24)]: {}, a: {} }, controller: { connections } })
  expect(out.all('Deployment')).toHaveLength(4)
})

test('a parent chart turns it on and off by its condition, and takes out the pool `default`', async ({
  helm,
  folder,
}) => {
  const chart = join(folder, 'shop')
  mkdirSync(join(chart, 'charts'), { recursive: true })
  cpSync(CHART, join(chart, 'charts', 'resqueue'), { recursive: true })
  const dependencies = [{ name: 'resqueue', version: '0.1.0', condition: 'resqueue.enabled' }]
  writeFileSync(
    join(chart, 'Chart.yaml'),
    JSON.stringify({ apiVersion: 'v2', name: 'shop', version: '1.0.0', dependencies }),
  )
  const names = async (enabled: boolean): Promise<string[]> => {
    const resqueue = { enabled, ...REDIS, workers: { default: null, mail: {} } }
    const out = await helm.render({ resqueue, global: { team: 'a' } }, { chart })
    return out.all('Deployment').map(({ metadata }) => metadata.name)
  }
  expect(await names(true)).toEqual(['rq-resqueue-controller', 'rq-resqueue-mail'])
  expect(await names(false)).toEqual([])
  expect(await helm.refusal({ ...REDIS, enabled: false })).toContain("'/enabled': value must be true")
})

test('a maxReplicas below minReplicas is refused', async ({ helm }) => {
  const scaling = { enabled: true, minReplicas: 11 }
  expect(await helm.refusal({ ...REDIS, workers: { default: { scaling } } })).toContain(
    'minReplicas 11 is more than maxReplicas 10',
  )
})

test.for([{ latencySeconds: 30 }, { latencySecondsByQueue: { a: 5 } }] as const)(
  'a target by jobsPerReplica and %j, which the custom resource does not take, is refused',
  async (more, { helm }) => {
    const scaling = { enabled: true, target: { jobsPerReplica: 5, ...more } }
    expect(await helm.refusal({ ...REDIS, workers: { default: { scaling } } })).toContain(
      'workers.default.scaling.target: jobsPerReplica excludes latencySeconds and latencySecondsByQueue',
    )
  },
)

test.for(readdirSync(join(CHART, 'ci')))('ci/%s passes the strict lint and renders', async (file, { helm }) => {
  const path = join(CHART, 'ci', file)
  const { code, stdout, stderr } = await helm.run(['lint', '--strict', CHART, '--values', path])
  expect(stdout + stderr).not.toMatch(/\[(WARNING|ERROR)\]/)
  expect(code, stdout).toBe(0)
  const out = await helm.render({}, { files: [path] })
  expect(out.all('Deployment').length).toBeGreaterThan(0)
})

test('the chart as it is passes the strict lint', async ({ helm }) => {
  expect((await helm.run(['lint', '--strict', CHART])).code).toBe(0)
})

/** Objects of the schema that do not refuse fields which they do not know, with the names of their fields. */
function openObjects(node: Yaml, path: readonly string[]): string[] {
  if (typeof node !== 'object' || node === null) return []
  const here = [node.type].flat().includes('object') && node.additionalProperties === undefined ? [path.join('/')] : []
  return [...here, ...Object.entries(node).flatMap(([key, value]) => openObjects(value, [...path, key]))]
}

test('every object of the schema is closed, but those that the API server checks', () => {
  const names = openObjects(schema, []).map((path) => path.replace(/\/items$/, '').replace(/.*\//, ''))
  expect([...new Set(names)].sort().join(' ')).toBe(
    'affinity claims dnsConfig envFrom extraContainers extraObjects from global hostAliases initContainers livenessProbe metricRelabelings networkPolicyEgress podSecurityContext readinessProbe relabelings securityContext startupProbe strategy to tolerations topologySpreadConstraints valueFrom volumeMounts volumes',
  )
})

test('the alerts that can be left out are those that there are', () => {
  const rules: Yaml = parse(readFileSync(join(CHART, 'files', 'rules.yaml'), 'utf8'))
  const names = rules.groups.flatMap((group: Yaml) => group.rules.map((rule: Yaml) => rule.alert as string))
  expect(schema.properties.metrics.properties.prometheusRule.properties.disabled.items.enum).toEqual(names)
})

/** What a node of the schema says, with what it refers to and what it adds to that. */
function resolve(node: Yaml): Yaml {
  const parts: Yaml[] = [
    ...(node?.$ref ? [resolve(schema.$defs[node.$ref.replace('#/$defs/', '')])] : []),
    ...(node?.allOf ?? []).map(resolve),
  ]
  if (parts.length === 0) return node
  const required = parts.flatMap((part) => part.required ?? [])
  const properties: Record<string, Yaml> = {}
  for (const part of parts)
    for (const [key, value] of Object.entries(part.properties ?? {}))
      properties[key] = key in properties ? { allOf: [properties[key], value] } : value
  return { ...parts[0], properties, required }
}

/** Paths of values.yaml: those that the schema demands, by their depth, and those that may be null. */
function fieldsOf(node: Yaml, shown: Yaml, path: readonly string[]): { path: readonly string[]; required: boolean }[] {
  const { properties = {}, required = [] } = resolve(node) ?? {}
  if (typeof shown !== 'object' || shown === null || Array.isArray(shown)) return []
  return Object.entries(shown as Record<string, Yaml>).flatMap(([key, value]) => [
    { path: [...path, key], required: required.includes(key) },
    ...fieldsOf(properties[key], value, [...path, key]),
  ])
}

/** Values with null at these paths. */
function nulls(base: object, paths: readonly (readonly string[])[]): object {
  const out: Yaml = structuredClone(base)
  for (const path of paths) {
    let at = out
    for (const key of path.slice(0, -1)) at = at[key] ??= {}
    at[path.at(-1) as string] = null
  }
  return out
}

const everything = {
  networkPolicy: { enabled: true },
  metrics: { podMonitor: { enabled: true }, prometheusRule: { enabled: true }, dashboard: { enabled: true } },
  controller: { aggregateRoles: true, admissionPolicy: { enabled: true } },
  workerDefaults: { scaling: { enabled: true } },
} as const

test('null is refused where something has to be, and told by its name', async ({ helm }) => {
  const fields = fieldsOf(schema, values, []).filter(({ required }) => required)
  expect(fields.length).toBeGreaterThan(40)
  for (const depth of [1, 2, 3, 4]) {
    const paths = fields.map(({ path }) => path).filter(({ length }) => length === depth)
    const error = await helm.refusal(nulls({ ...everything, ...REDIS }, paths))
    expect(error).toContain("don't meet the specifications of the schema")
    expect(paths.filter((path) => !error.includes(path.at(-1) as string))).toEqual([])
  }
})

test('null leaves a field out everywhere else', async ({ helm }) => {
  const own = (path: readonly string[]): boolean =>
    !/^redis\.url$|^workers\.default$|\.enabled$|^metrics\.prometheusRule\.disabled$/.test(path.join('.'))
  const all = fieldsOf(schema, values, [])
  const free = all.filter(({ path, required }) => !required && own(path)).map(({ path }) => path)
  expect(free.length).toBeGreaterThan(100)
  for (const redis of [REDIS.redis, { trial: { enabled: true } }]) {
    const out = await helm.render(nulls({ ...everything, redis }, free))
    expect(out.text).not.toMatch(/<nil>|<no value>/)
    expect(out.all('Deployment').length).toBeGreaterThan(1)
  }
})

test('null in a pool takes back what the defaults set, at any depth', async ({ helm }) => {
  const probe = { httpGet: null, exec: { command: ['true'] } }
  const out = await helm.render({
    ...REDIS,
    workers: {
      default: {
        livenessProbe: probe,
        resources: { requests: { cpu: null } },
        podSecurityContext: { seccompProfile: null },
        securityContext: null,
        scaling: { enabled: true, target: null },
      },
    },
  })
  const { livenessProbe, resources, securityContext } = out.container('rq-resqueue-default')
  expect(livenessProbe).toEqual({
    exec: { command: ['true'] },
    periodSeconds: 10,
    timeoutSeconds: 5,
    failureThreshold: 3,
  })
  expect(resources).toEqual({ requests: { memory: '256Mi' }, limits: { memory: '512Mi' } })
  expect(securityContext).toBeUndefined()
  expect(out.pod('rq-resqueue-default').securityContext).toEqual({
    runAsNonRoot: true,
    runAsUser: 65532,
    runAsGroup: 65532,
  })
  expect(out.all('WorkerScaler')[0]?.spec.target).toEqual({ latencySeconds: 30 })
  expect(out.text).not.toMatch(/: null\b/)
})

/** Fields that the schema allows and values.yaml does not show. */
function unshown(node: Yaml, shown: Yaml, path: string): string[] {
  const { properties } = resolve(node) ?? {}
  if (properties === undefined || typeof shown !== 'object' || shown === null) return []
  const allowed = Object.keys(properties).filter((key) => properties[key] !== false)
  return allowed.flatMap((key) =>
    key in shown ? unshown(properties[key], shown[key], `${path}.${key}`) : [`${path}.${key}`],
  )
}

test('values.yaml shows every field that the schema allows', () => {
  const own =
    /\.(scaling\.(queues|redis|slotsPerReplica|pollingIntervalSeconds|cooldownSeconds|behavior|scaleDown|protect|paused)|scaling\.target\..*|image\..*|resources\.(claims))$/
  expect(unshown(schema, values, '').filter((path) => !own.test(path))).toEqual([])
})

test('scaling has the fields of a WorkerScaler, word for word', () => {
  const crd: Yaml = parse(readFileSync(join(CHART, 'crds', 'workerscaler.yaml'), 'utf8'))
  const spec = crd.spec.versions[0].schema.openAPIV3Schema.properties.spec
  const { scaling } = schema.$defs
  const fieldsOf = (node: Yaml, path: string): string[] =>
    Object.entries((node.properties ?? {}) as Record<string, Yaml>).flatMap(([key, value]) => [
      `${path}${key}`,
      ...fieldsOf(value.items ?? value, `${path}${key}.`),
    ])
  const ours = fieldsOf(scaling, '').filter((field) => field !== 'enabled')
  const theirs = fieldsOf(spec, '').filter((field) => !field.startsWith('scaleTargetRef'))
  expect(ours.sort()).toEqual(theirs.sort())
})

test('the versions of chart and package agree', () => {
  const chart: Yaml = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8'))
  const { version } = JSON.parse(readFileSync(join(CHART, '..', '..', 'package.json'), 'utf8')) as { version: string }
  expect(chart.appVersion).toBe(version)
  expect(chart.kubeVersion).toBeTypeOf('string')
})
