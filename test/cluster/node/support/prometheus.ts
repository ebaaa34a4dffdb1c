import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { own } from '../../../support/scope.ts'
import { waitFor } from '../../../support/wait.ts'
import type { RealCluster } from './node.ts'

/** One series and its value now. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [number, string]
}

export interface Rule {
  readonly name: string
  readonly query: string
  /** `ok`, `err`, or `unknown` before its first evaluation. */
  readonly health: string
  readonly lastError?: string
  readonly state: string
}

export interface Target {
  readonly labels: Readonly<Record<string, string>>
  readonly health: string
  readonly lastError: string
}

/** A Prometheus that runs. */
export interface Prometheus {
  query(expression: string): Promise<readonly Sample[]>
  rules(): Promise<readonly Rule[]>
  /** What it scrapes now. */
  targets(): Promise<readonly Target[]>
}

interface PodMonitor {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly spec: {
    readonly selector: {
      readonly matchLabels?: Readonly<Record<string, string>>
      readonly matchExpressions?: readonly { readonly key: string; readonly values: readonly string[] }[]
    }
    readonly namespaceSelector: { readonly matchNames: readonly string[] }
    readonly podMetricsEndpoints: readonly {
      readonly port: string
      readonly path: string
      readonly interval: string
      readonly scrapeTimeout: string
      readonly honorLabels: boolean
    }[]
  }
}

const MONITORING = '/apis/monitoring.coreos.com/v1/namespaces'
const ADDRESS = '127.0.0.1:9099'

/**
 * A real Prometheus in the node's network, with the PodMonitor and the PrometheusRule of that name as the Prometheus
 * Operator would hand them over. It ends with the test.
 */
export async function startPrometheus(cluster: RealCluster, namespace: string, name: string): Promise<Prometheus> {
  const monitor = await cluster.api.get<PodMonitor>(`${MONITORING}/${namespace}/podmonitors/${name}`)
  const rules = await cluster.api.get<{ spec: unknown }>(`${MONITORING}/${namespace}/prometheusrules/${name}`)
  const dir = mkdtempSync(join(tmpdir(), 'resqueue-prometheus-'))
  own('prometheus files', () => rmSync(dir, { recursive: true, force: true }))
  // YAML, of which JSON is a part.
  writeFileSync(join(dir, 'rules.yaml'), JSON.stringify(rules.spec))
  const config = {
    global: { evaluation_interval: '1s' },
    rule_files: [join(dir, 'rules.yaml')],
    scrape_configs: scrapes(monitor, join(dir, 'pods.json')),
  }
  writeFileSync(join(dir, 'prometheus.yaml'), JSON.stringify(config))
  const flags = [`--config.file=${dir}/prometheus.yaml`, `--storage.tsdb.path=${dir}/data`]
  await discover(cluster, namespace, join(dir, 'pods.json'))
  const running = cluster.enter('prometheus', [...flags, `--web.listen-address=${ADDRESS}`])
  const base = `http://127.0.0.1:${await cluster.forward(ADDRESS)}`
  const ask = async <T>(path: string): Promise<T> => {
    const { status, data } = (await (await fetch(`${base}/api/v1/${path}`)).json()) as { status: string; data: T }
    if (status !== 'success') throw new Error(`Prometheus, ${path}: ${JSON.stringify(data)}`)
    return data
  }
  await waitFor(async () => (await fetch(`${base}/-/ready`)).ok, {
    describe: () => `Prometheus: ${running.stderr.slice(-2000)}`,
  })
  return {
    query: async (expression) =>
      (await ask<{ result: Sample[] }>(`query?query=${encodeURIComponent(expression)}`)).result,
    rules: async () => (await ask<{ groups: { rules: Rule[] }[] }>('rules')).groups.flatMap((group) => group.rules),
    targets: async () => (await ask<{ activeTargets: Target[] }>('targets?state=active')).activeTargets,
  }
}

/** The scrape configuration that the operator makes of a PodMonitor. */
function scrapes({ metadata, spec }: PodMonitor, podsFile: string): object[] {
  const { matchLabels = {}, matchExpressions = [] } = spec.selector
  const keep = [
    ...Object.entries(matchLabels).map(([key, value]) => ({ source: label(key), regex: value })),
    ...matchExpressions.map(({ key, values }) => ({ source: label(key), regex: values.join('|') })),
  ]
  const copies = Object.entries({ namespace: 'namespace', container: 'pod_container_name', pod: 'pod_name' })
  return spec.podMetricsEndpoints.map((endpoint, index) => ({
    job_name: `podMonitor/${metadata.namespace}/${metadata.name}/${index}`,
    honor_labels: endpoint.honorLabels,
    metrics_path: endpoint.path,
    scrape_interval: endpoint.interval,
    scrape_timeout: endpoint.scrapeTimeout,
    file_sd_configs: [{ files: [podsFile] }],
    relabel_configs: [
      { source_labels: ['__meta_kubernetes_pod_phase'], regex: '(Failed|Succeeded)', action: 'drop' },
      {
        source_labels: ['__meta_kubernetes_namespace'],
        regex: spec.namespaceSelector.matchNames.join('|'),
        action: 'keep',
      },
      ...keep.map(({ source, regex }) => ({ source_labels: [source], regex, action: 'keep' })),
      { source_labels: ['__meta_kubernetes_pod_container_port_name'], regex: endpoint.port, action: 'keep' },
      ...copies.map(([to, from]) => ({ source_labels: [`__meta_kubernetes_${from}`], target_label: to })),
      { target_label: 'job', replacement: `${metadata.namespace}/${metadata.name}` },
    ],
  }))
}

interface ListedPod {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> }
  readonly spec: {
    readonly containers: readonly { name: string; ports?: readonly { name?: string; containerPort: number }[] }[]
  }
  readonly status: { readonly phase: string; readonly podIP?: string }
}

/**
 * Writes down every port of every pod, again and again, in the words of Prometheus' own discovery. Debian builds
 * Prometheus without the one for Kubernetes.
 */
async function discover(cluster: RealCluster, namespace: string, file: string): Promise<void> {
  const write = async (): Promise<void> => {
    const { items } = await cluster.api.get<{ items: ListedPod[] }>(`/api/v1/namespaces/${namespace}/pods`)
    const found = items.flatMap((pod) => (pod.status.podIP === undefined ? [] : portsOf(namespace, pod)))
    writeFileSync(`${file}.new`, JSON.stringify(found))
    renameSync(`${file}.new`, file)
  }
  await write()
  const timer = setInterval(() => void write().catch(() => undefined), 1000)
  own('discovery', () => clearInterval(timer))
}

function portsOf(namespace: string, { metadata, spec, status }: ListedPod): object[] {
  const labels = Object.entries(metadata.labels ?? {}).map(([key, value]) => [label(key), value])
  return spec.containers.flatMap(({ name, ports = [] }) =>
    ports.map((port) => ({
      targets: [`${status.podIP}:${port.containerPort}`],
      labels: {
        ...Object.fromEntries(labels),
        __meta_kubernetes_namespace: namespace,
        __meta_kubernetes_pod_name: metadata.name,
        __meta_kubernetes_pod_phase: status.phase,
        __meta_kubernetes_pod_container_name: name,
        __meta_kubernetes_pod_container_port_name: port.name ?? '',
      },
    })),
  )
}

const label = (name: string): string => `__meta_kubernetes_pod_label_${name.replaceAll(/[^A-Za-z0-9_]/g, '_')}`
