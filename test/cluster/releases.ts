import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'
import type { Cluster, Ran } from './support/cluster.ts'
import { ON_FAKE_NODES } from './support/kwok.ts'

/** What the tests of the charts share: installing them, and looking at what is there. */

export const CHART: string = join(ROOT, 'charts', 'resqueue')
export const CRDS_CHART: string = join(ROOT, 'charts', 'resqueue-crds')

/** Values by which every pod of a release goes to fake nodes, and nothing needs a Redis that is there. */
export const FAKE = {
  redis: { url: 'redis://127.0.0.1:1' },
  workerDefaults: ON_FAKE_NODES,
  controller: ON_FAKE_NODES,
} as const

/** A value of a Helm release. */
export type Values = Readonly<Record<string, unknown>>

/** Values over values, maps merged. */
export function over(base: Values, more: Values): Values {
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(more)) {
    const old = merged[key]
    merged[key] = isMap(old) && isMap(value) ? over(old, value) : value
  }
  return merged
}

const isMap = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value)

/** `helm install` or `helm upgrade` with these values over those of FAKE; never rejects. */
export function helm(
  cluster: Cluster,
  verb: 'install' | 'upgrade' | 'template',
  release: string,
  namespace: string,
  values: Values = {},
  flags: readonly string[] = [],
): Promise<Ran> {
  const args = [verb, release, CHART, '--namespace', namespace, '--values', '-', ...flags]
  return cluster.run('helm', args, { input: JSON.stringify(over(FAKE, values)), timeoutMs: 60_000 })
}

/** The same, and it has to succeed. */
export async function deploy(...args: Parameters<typeof helm>): Promise<string> {
  const { code, stdout, stderr } = await helm(...args)
  if (code !== 0) throw new Error(`helm ${args[1]}: ${stderr}`)
  return stdout
}

/** The custom resources of the Prometheus Operator that the chart uses. */
export async function applyMonitoring(cluster: Cluster): Promise<void> {
  const served = async (plural: string): Promise<boolean> =>
    (await cluster.api.call('GET', `/apis/monitoring.coreos.com/v1/${plural}?limit=1`)).status === 200
  // Those of a cluster that has the operator stay as they are.
  if ((await served('podmonitors')) && (await served('prometheusrules'))) return
  await cluster.apply(readFileSync(join(ROOT, 'test', 'chart', 'monitoring-crds.yaml'), 'utf8'))
  for (const plural of ['podmonitors', 'prometheusrules']) {
    await waitFor(() => served(plural), { timeoutMs: 30_000 })
  }
}

/** Every object of a release that is there, as `Kind/name`. */
export async function objectsOf(cluster: Cluster, release: string, namespace: string): Promise<string[]> {
  const kinds =
    'deployments,replicasets,pods,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,workerscalers.resqueue.dev'
  const out = await cluster.kubectl(
    '-n',
    namespace,
    'get',
    kinds,
    '-l',
    `app.kubernetes.io/instance=${release}`,
    '-o',
    'jsonpath={range .items[*]}{.kind}/{.metadata.name}{"\\n"}{end}',
  )
  return out.split('\n').filter(Boolean).sort()
}

/** `spec.replicas` of a Deployment. */
export async function replicasOf(cluster: Cluster, namespace: string, name: string): Promise<number> {
  return (
    await cluster.api.get<{ spec: { replicas: number } }>(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`)
  ).spec.replicas
}
