import { collectDefaultMetrics, Registry, type Metric } from 'prom-client'
import { addFamily } from './family.ts'

/**
 * What is kept of prom-client's default metrics. Left out: handles and requests (walking them all costs much and says
 * little), heap spaces, and further percentiles of the event loop's lag. In this order: the first of a group reads the
 * values of the whole group.
 */
const KEPT = [
  'process_cpu_user_seconds_total',
  'process_cpu_system_seconds_total',
  'process_cpu_seconds_total',
  'process_resident_memory_bytes',
  'process_virtual_memory_bytes',
  'process_open_fds',
  'process_max_fds',
  'process_start_time_seconds',
  'nodejs_eventloop_lag_seconds',
  'nodejs_eventloop_lag_mean_seconds',
  'nodejs_eventloop_lag_max_seconds',
  'nodejs_eventloop_lag_p99_seconds',
  'nodejs_external_memory_bytes',
  'nodejs_gc_duration_seconds',
  'nodejs_heap_size_total_bytes',
  'nodejs_heap_size_used_bytes',
  'nodejs_version_info',
] as const

/** Between two samples of the event loop's lag, ms: each one wakes the process. */
const LAG_RESOLUTION_MS = 50

/** Commands sent to Redis and connections lost, rising for ever. */
export interface RedisCounts {
  readonly commands: number
  readonly reconnects: number
}

/** What runs. */
export function addBuildInfo(registry: Registry, version: string): void {
  addFamily(registry, {
    name: 'build_info',
    help: 'Always 1; the labels say what runs.',
    type: 'gauge',
    collect: () => [{ labels: { version, node: process.version }, value: 1 }],
  })
}

/** The metrics of this process's connections to Redis. */
export function addConnectionMetrics(registry: Registry, counts: () => RedisCounts): void {
  addFamily(registry, {
    name: 'redis_commands_total',
    help: 'Calls that this process sent to Redis; a script or a pipeline is one.',
    type: 'counter',
    collect: () => [{ value: counts().commands }],
  })
  addFamily(registry, {
    name: 'redis_reconnects_total',
    help: 'Connections to Redis that this process lost and opened again.',
    type: 'counter',
    collect: () => [{ value: counts().reconnects }],
  })
}

/** The metrics of the process itself, under the names that every Node dashboard knows. */
export function addProcessMetrics(registry: Registry): void {
  const all = new Registry()
  collectDefaultMetrics({ register: all, eventLoopMonitoringPrecision: LAG_RESOLUTION_MS })
  for (const name of KEPT) {
    const metric = all.getSingleMetric(name) // some exist on Linux only
    if (metric) registry.registerMetric(withoutNaN(name, metric))
  }
}

/** Before anything was measured some values are no number, which prom-client writes as no scraper needs to read it. */
function withoutNaN(name: string, metric: Metric): Metric {
  const get = async (): Promise<object> => {
    const read = await metric.get()
    return { ...read, values: read.values.filter((sample) => !Number.isNaN(sample.value)) }
  }
  return { name, get } as unknown as Metric
}
