import { collectDefaultMetrics, Registry, type Metric } from 'prom-client'

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
