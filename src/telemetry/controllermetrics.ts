import { Registry } from 'prom-client'
import { distribution, record, type Distribution } from './distribution.ts'
import { addFamily, histogramSamples, type Labels, type Sample } from './family.ts'
import { addBuildInfo, addConnectionMetrics, addProcessMetrics, type RedisCounts } from './processmetrics.ts'
import type { Telemetry } from './telemetry.ts'

/** What a turn of a scaler saw; undefined fields were not to be had. */
export interface ScalerSight {
  readonly replicas: number | undefined
  readonly ready: number | undefined
  readonly draining: number
  readonly decision:
    | {
        readonly replicas: number
        readonly terms: Readonly<Record<'rate' | 'backlog' | 'busy' | 'lookahead', number>>
        readonly waiting: number
        readonly running: number
        readonly arrivalRate: number
        readonly serviceSeconds: number
        readonly latencySeconds: number
      }
    | undefined
}

/** What the controller tells its telemetry. `key` is `<namespace>/<name>`. Every call is cheap and never throws. */
export interface ScalerMetrics {
  observed(key: string, sight: ScalerSight): void
  conditions(key: string, conditions: readonly { readonly type: string; readonly status: string }[]): void
  /** Why the scale is left alone; undefined: it is not. */
  held(key: string, reason: string | undefined): void
  scaled(key: string, direction: 'up' | 'down', reason: string): void
  forget(key: string): void
  turn(seconds: number): void
  failed(): void
  recovered(jobs: number): void
  watchBroke(): void
  /** Jobs in queues of a Redis that nobody serves. */
  unserved(connection: string, jobs: number): void
}

/** What telemetry reads from the controller when it is scraped. */
export interface ControllerView {
  readonly leading: boolean
  /** Scalers whose turn has come and that wait. */
  readonly queueDepth: number
  readonly kubeRequests: { readonly requests: number; readonly failed: number }
}

interface Entry {
  sight: ScalerSight | undefined
  conditions: ReadonlyMap<string, boolean>
  held: string | undefined
  readonly decisions: Map<string, { direction: string; reason: string; count: number }>
}

/**
 * A count of unserved jobs that is not renewed for so long is shown no more: Redis is away, or not ours any more.
 * Milliseconds.
 */
const UNSERVED_MS = 120_000

const TURN_BOUNDS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** The metrics of a controller. Nothing is read from anywhere at a scrape. */
export function createControllerTelemetry(options: {
  readonly view: () => ControllerView
  readonly version: string
  readonly redisCounts: () => RedisCounts
  /** Show `process_*` and `nodejs_*` as well. Default true. */
  readonly processMetrics?: boolean
}): Pick<Telemetry, 'metrics' | 'contentType'> & { readonly scalers: ScalerMetrics } {
  const { view, version, redisCounts, processMetrics = true } = options
  const registry = new Registry()
  const entries = new Map<string, Entry>()
  const turns: Distribution = distribution(TURN_BOUNDS)
  const unserved = new Map<string, { readonly jobs: number; readonly at: number }>()
  const totals = { errors: 0, recovered: 0, watches: 0 }

  const entryOf = (key: string): Entry => {
    let entry = entries.get(key)
    if (!entry) {
      entry = { sight: undefined, conditions: new Map(), held: undefined, decisions: new Map() }
      entries.set(key, entry)
    }
    return entry
  }
  const labelsOf = (key: string): Labels => {
    const [namespace = '', name = ''] = key.split('/')
    return { namespace, name }
  }
  const gauge = (name: string, help: string, each: (entry: Entry, labels: Labels) => Iterable<Sample>): void =>
    addFamily(registry, {
      name,
      help,
      type: 'gauge',
      *collect() {
        for (const [key, entry] of entries) yield* each(entry, labelsOf(key))
      },
    })
  const one = (name: string, help: string, pick: (sight: ScalerSight) => number | undefined): void =>
    gauge(name, help, (entry, labels) => {
      const value = entry.sight && pick(entry.sight)
      return value === undefined ? [] : [{ labels, value }]
    })
  const total = (name: string, help: string, value: () => number, type: 'counter' | 'gauge' = 'counter'): void =>
    addFamily(registry, { name, help, type, collect: () => [{ value: value() }] })

  one('scaler_desired_replicas', 'Replicas that the last decision asks for.', ({ decision }) => decision?.replicas)
  one('scaler_replicas', 'Replicas that the scale of the target says.', ({ replicas }) => replicas)
  one('scaler_ready_replicas', 'Pods of the target that are ready.', ({ ready }) => ready)
  one('scaler_draining_pods', 'Pods that take no more jobs, to be given up.', ({ draining }) => draining)
  gauge('scaler_demand_replicas', 'Replicas that each term of the demand asks for.', ({ sight }, labels) =>
    Object.entries(sight?.decision?.terms ?? {}).map(([term, value]) => ({ labels: { ...labels, term }, value })),
  )
  gauge(
    'scaler_jobs',
    "Jobs in the scaler's queues, waiting (its share, without paused queues) or running.",
    ({ sight }, labels) => {
      const { decision } = sight ?? {}
      if (!decision) return []
      return (['waiting', 'running'] as const).map((state) => ({
        labels: { ...labels, state },
        value: decision[state],
      }))
    },
  )
  one('scaler_latency_seconds', 'Age of the oldest waiting job.', ({ decision }) => decision?.latencySeconds)
  one('scaler_arrival_rate', 'Jobs that arrive per second.', ({ decision }) => decision?.arrivalRate)
  one('scaler_service_seconds', 'Mean seconds that a job runs.', ({ decision }) => decision?.serviceSeconds)
  gauge('scaler_condition', 'Conditions of the scaler: 1 true, 0 false, absent unknown.', ({ conditions }, labels) =>
    [...conditions].map(([condition, is]) => ({ labels: { ...labels, condition }, value: is ? 1 : 0 })),
  )
  gauge(
    'scaler_held',
    'Always 1 while the scale is left alone because something is wrong; the reason says what.',
    ({ held }, labels) => (held === undefined ? [] : [{ labels: { ...labels, reason: held }, value: 1 }]),
  )
  addFamily(registry, {
    name: 'unserved_jobs',
    help: 'Jobs waiting in queues that no worker serves and no scaler lists, by Redis connection.',
    type: 'gauge',
    *collect() {
      for (const [connection, { jobs, at }] of unserved)
        if (performance.now() - at < UNSERVED_MS) yield { labels: { connection }, value: jobs }
    },
  })
  addFamily(registry, {
    name: 'scaler_decisions_total',
    help: 'Writes of a scale.',
    type: 'counter',
    *collect() {
      for (const [key, { decisions }] of entries) {
        for (const { direction, reason, count } of decisions.values())
          yield { labels: { ...labelsOf(key), direction, reason }, value: count }
      }
    },
  })
  addFamily(registry, {
    name: 'reconcile_duration_seconds',
    help: 'How long turns of scalers took.',
    type: 'histogram',
    collect: () => histogramSamples('reconcile_duration_seconds', turns),
  })
  total('reconcile_errors_total', 'Turns of scalers that failed and were tried again.', () => totals.errors)
  total('reconcile_queue_depth', 'Scalers whose turn has come and that wait.', () => view().queueDepth, 'gauge')
  total('leader', 'Whether this controller leads.', () => (view().leading ? 1 : 0), 'gauge')
  total('kube_requests_total', 'Requests sent to the API server, watches included.', () => view().kubeRequests.requests)
  total('kube_requests_failed_total', 'Requests to which no answer came.', () => view().kubeRequests.failed)
  total('watch_failures_total', 'Lists and watches that broke and were restarted.', () => totals.watches)
  total(
    'jobs_recovered_total',
    'Jobs of processes that are gone which this process put back or failed.',
    () => totals.recovered,
  )
  addConnectionMetrics(registry, redisCounts)
  addBuildInfo(registry, version)
  if (processMetrics) addProcessMetrics(registry)

  return Object.freeze({
    contentType: registry.contentType,
    metrics: () => registry.metrics(),
    scalers: {
      observed: (key, sight) => {
        entryOf(key).sight = sight
      },
      conditions: (key, conditions) => {
        entryOf(key).conditions = new Map(
          conditions.filter(({ status }) => status !== 'Unknown').map(({ type, status }) => [type, status === 'True']),
        )
      },
      held: (key, reason) => {
        entryOf(key).held = reason
      },
      scaled: (key, direction, reason) => {
        const { decisions } = entryOf(key)
        const at = `${direction} ${reason}`
        const found = decisions.get(at)
        if (found) found.count++
        else decisions.set(at, { direction, reason, count: 1 })
      },
      forget: (key) => void entries.delete(key),
      turn: (seconds) => record(turns, seconds),
      failed: () => void totals.errors++,
      recovered: (jobs) => {
        totals.recovered += jobs
      },
      watchBroke: () => void totals.watches++,
      unserved: (connection, jobs) => void unserved.set(connection, { jobs, at: performance.now() }),
    },
  })
}
