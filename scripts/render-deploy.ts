// Writes what is rendered from the chart: deploy/, and the copies of the custom resource.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parseAllDocuments, stringify } from 'yaml'
import { programPath, toolPath } from '../test/cluster/tools/tools.ts'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const CRD = 'charts/resqueue/crds/workerscaler.yaml'
const HEADER =
  '# Rendered from charts/resqueue by scripts/render-deploy.ts. Change the chart, or the values.yaml beside this file.\n'

/** Labels that speak of Helm. */
const HELM_LABELS = ['helm.sh/chart', 'app.kubernetes.io/managed-by']

interface Manifest {
  metadata: { annotations?: Record<string, string>; labels?: Record<string, string> }
}

const namespace = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
})

async function render(helm: string, target: string, values: string): Promise<Manifest[]> {
  const args = ['template', 'resqueue', 'charts/resqueue', '--namespace', target, '--values', values]
  const { stdout } = await promisify(execFile)(helm, args, { cwd: ROOT, maxBuffer: 1 << 24 })
  const manifests = parseAllDocuments(stdout).map((document) => document.toJS() as Manifest | null)
  return manifests
    .filter((one): one is Manifest => one !== null && one.metadata.annotations?.['helm.sh/hook'] === undefined)
    .map((one) => {
      for (const label of HELM_LABELS) delete one.metadata.labels?.[label]
      return one
    })
}

/** YAML 1.1, in which `yes` and `no` are quoted: that is what Kubernetes reads. */
const text = (manifests: readonly object[]): string =>
  HEADER + manifests.map((one) => stringify(one, { lineWidth: 0, version: '1.1' })).join('---\n')

/** Every file that is rendered, by its path in the repository. */
export async function renderedFiles(helm: string): Promise<ReadonlyMap<string, string>> {
  const crd = await readFile(join(ROOT, CRD), 'utf8')
  return new Map([
    ['charts/resqueue-crds/files/workerscaler.yaml', crd],
    ['deploy/crds.yaml', crd],
    ['deploy/resqueue.yaml', text(await render(helm, 'resqueue', 'deploy/values.yaml'))],
    [
      'deploy/trial/trial.yaml',
      text([namespace('resqueue-trial'), ...(await render(helm, 'resqueue-trial', 'deploy/trial/values.yaml'))]),
    ],
  ])
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const helm = existsSync(toolPath('helm')) ? toolPath('helm') : programPath('helm')
  if (helm === undefined) throw new Error('Helm is not there: run `make cluster-tools`')
  for (const [file, content] of await renderedFiles(helm)) await writeFile(join(ROOT, file), content)
}
