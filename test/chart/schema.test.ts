import { readdirSync, readFileSync } from 'node:fs'
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
  [{ networkPolicy: { enabled: 'yes' } }, /enabled/],
  [{ workers: { Bad_Name: {} } }, /Bad_Name/],
  [{ workers: { '-a': {} } }, /-a/],
  [{ workers: { 'a-': {} } }, /a-/],
  [{ workers: { 'a.b': {} } }, /a\.b/],
  [{ workers: { ['a'.repeat(25)]: {} } }, /maxLength/],
  [{ workers: { controller: {} } }, /controller/],
  [{ workers: { 'trial-redis': {} } }, /trial-redis/],
  [{ workers: { default: { queues: [] } } }, /queues/],
  [{ workers: { default: { queues: ['a,b'] } } }, /queues/],
  [{ workers: { default: { queues: 'a' } } }, /queues/],
  [{ workers: { default: { concurrency: 0 } } }, /concurrency/],
  [{ workers: { default: { concurrency: 513 } } }, /concurrency/],
  [{ workers: { default: { isolation: 'thread' } } }, /isolation/],
  [{ workers: { default: { jobMemory: '1G' } } }, /jobMemory/],
  [{ workers: { default: { shutdownTimeoutSeconds: -1 } } }, /shutdownTimeoutSeconds/],
  [{ workers: { default: { env: [{ name: 'A', value: 1 }] } } }, /value/],
  [{ image: { digest: 'sha256:abc' } }, /digest/],
  [{ image: { pullPolicy: 'never' } }, /pullPolicy/],
  [{ controller: { connections: { default: { allowedNamespaces: ['*'] } } } }, /'default'/],
  [{ controller: { connections: { shop: { url: 'redis://a' } } } }, /allowedNamespaces/],
] as const)('refused: %j', async ([wrong, message], { helm }) => {
  const error = await helm.refusal({ ...REDIS, ...wrong })
  expect(error).toContain("don't meet the specifications of the schema")
  expect(error).toMatch(message)
})

test('a maxReplicas below minReplicas is refused', async ({ helm }) => {
  const scaling = { enabled: true, minReplicas: 11 }
  expect(await helm.refusal({ ...REDIS, workers: { default: { scaling } } })).toContain(
    'minReplicas 11 is more than maxReplicas 10',
  )
})

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

/** Objects of the schema that list their fields; every one has to refuse others. */
function openObjects(node: Yaml, path: string): string[] {
  if (typeof node !== 'object' || node === null) return []
  const here = node.properties !== undefined && node.additionalProperties !== false ? [path] : []
  return [...here, ...Object.entries(node).flatMap(([key, value]) => openObjects(value, `${path}/${key}`))]
}

test('every object of the schema is closed', () => {
  expect(openObjects(schema, '')).toEqual([])
})

const resolve = (node: Yaml): Yaml => (node?.$ref ? schema.$defs[node.$ref.replace('#/$defs/', '')] : node)

/** Fields that the schema allows and values.yaml does not show. */
function unshown(node: Yaml, shown: Yaml, path: string): string[] {
  const { properties } = resolve(node) ?? {}
  if (properties === undefined || typeof shown !== 'object' || shown === null) return []
  return Object.keys(properties).flatMap((key) =>
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
