import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { ROOT } from '../support/process.ts'
import { renderedFiles } from '../../scripts/render-deploy.ts'
import { CHART, helmPath, test, type Manifest, type Yaml } from './helm.ts'

const CRDS = join(ROOT, 'charts', 'resqueue-crds')
const manifests = (file: string): Manifest[] =>
  parseAllDocuments(readFileSync(join(ROOT, file), 'utf8'), { version: '1.1' }).map((one) => one.toJS() as Manifest)

test('deploy/ and the copies of the custom resource are what scripts/render-deploy.ts writes', async ({ skip }) => {
  const helm = helmPath()
  if (helm === undefined) return skip('Helm is not there: run `make cluster-tools`')
  for (const [file, content] of await renderedFiles(helm)) {
    expect(readFileSync(join(ROOT, file), 'utf8') === content, `${file}: run node scripts/render-deploy.ts`).toBe(true)
  }
})

test('the plain manifests speak of no Helm and hold no test', () => {
  for (const file of ['deploy/resqueue.yaml', 'deploy/trial/trial.yaml']) {
    const all = manifests(file)
    expect(JSON.stringify(all)).not.toMatch(/helm\.sh|"Helm"/)
    expect(all.map((one) => one.kind)).not.toContain('Pod')
    expect(all.map((one) => one.kind)).toContain('WorkerScaler')
    for (const { kind, spec } of all.filter((one) => one.kind === 'Deployment'))
      for (const arg of spec.template.spec.containers[0].args) expect(arg, kind).toBeTypeOf('string')
  }
})

test('the trial brings its namespace, with restricted Pod Security', () => {
  const [first, ...others] = manifests('deploy/trial/trial.yaml')
  expect(first?.kind).toBe('Namespace')
  expect(first?.metadata.labels).toEqual({ 'pod-security.kubernetes.io/enforce': 'restricted' })
  expect(new Set(others.map((one) => one.metadata.namespace))).toEqual(new Set([first?.metadata.name]))
})

test('the chart of the custom resource passes the strict lint and keeps it by default', async ({ helm }) => {
  expect((await helm.run(['lint', '--strict', CRDS])).code).toBe(0)
  const out = await helm.render({}, { chart: CRDS, release: 'y' })
  const crd = out.get('CustomResourceDefinition', 'workerscalers.resqueue.dev')
  expect((crd.metadata as Yaml).annotations['helm.sh/resource-policy']).toBe('keep')
  const original: Yaml = parse(readFileSync(join(CHART, 'crds', 'workerscaler.yaml'), 'utf8'))
  expect(crd.spec).toEqual(original.spec)
  const gone = await helm.render({ keep: false, aggregateRoles: false }, { chart: CRDS })
  expect(gone.text).not.toContain('resource-policy')
  expect(gone.manifests).toHaveLength(1)
})

test('both charts have the same version, and refuse unknown values', async ({ helm }) => {
  const version = (chart: string): string => parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8')).version
  expect(version(CRDS)).toBe(version(CHART))
  expect(await helm.refusal({ kep: true }, { chart: CRDS })).toContain('kep')
  // Without it an uninstallation would take every WorkerScaler along.
  expect(await helm.refusal({ keep: null }, { chart: CRDS })).toContain("missing property 'keep'")
  await helm.render({ commonLabels: null }, { chart: CRDS })
})

test('the custom resource is in crds/, so that a first installation with a WorkerScaler works', async ({ helm }) => {
  expect(existsSync(join(CHART, 'crds', 'workerscaler.yaml'))).toBe(true)
  const out = await helm.render({}, { files: [join(CHART, 'ci', 'full-values.yaml')] })
  expect(out.all('CustomResourceDefinition')).toEqual([])
})
