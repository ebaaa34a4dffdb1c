import { setImmediate as nextTurn } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { systemClock, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import { silentLogger, type Logger } from '../log.ts'
import type { Store } from '../redis/store.ts'
import type { WorkerObserver, WorkerView } from './observer.ts'
import { addBuildInfo, addConnectionMetrics, addProcessMetrics } from './processmetrics.ts'
import { addQueueMetrics } from './queuemetrics.ts'
import { createObserve, type QueueSystem } from './queuesystem.ts'
import { createReader } from './reader.ts'
import { createTally } from './tally.ts'
import { addWorkerMetrics } from './workermetrics.ts'

/**
 * How long a scrape waits for Redis, how long after it was found away, and how long an answer is shared. Milliseconds.
 */
const DEADLINE_MS = 1000
const IMPATIENT_MS = 100
const FRESH_MS = 1000

export interface TelemetryOptions {
  /** Where the queue system is read, at scrapes only. Without it only the worker's own metrics are there. */
  readonly store?: Pick<Store, 'run' | 'keys' | 'counts'>
  readonly view: () => WorkerView
  readonly version: string
  /** Classes that have a label of their own; the rest are counted under `other`. Default 200. */
  readonly maxClassLabels?: number
  /** Show `process_*` and `nodejs_*` as well. Default true. */
  readonly processMetrics?: boolean
  /** Told when the queue system cannot be read. */
  readonly log?: Pick<Logger, 'warn'>
  readonly clock?: Clock
}

/** The metrics of one process. */
export interface Telemetry {
  readonly observer: WorkerObserver
  /** Of what `metrics` returns. */
  readonly contentType: string
  /**
   * All metrics as Prometheus text. Takes at most a second: without an answer from Redis `resqueue_redis_up` is 0 and
   * the queue system is left out. Scrapes at the same time share one text.
   */
  metrics(): Promise<string>
}

/** Makes the registry and what fills it. Nothing is read, from Redis or elsewhere, until `metrics` is called. */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  const {
    store,
    view,
    version,
    maxClassLabels = 200,
    processMetrics = true,
    log = silentLogger,
    clock = systemClock,
  } = options
  const registry = new Registry()
  const tally = createTally(maxClassLabels)
  let system: QueueSystem | undefined
  let read = (): Promise<QueueSystem | undefined> => Promise.resolve(undefined)

  if (store) {
    const observe = createObserve(store)
    read = createReader(async () => observe(view().queues, { deadlineMs: DEADLINE_MS }), clock, {
      deadlineMs: DEADLINE_MS,
      impatientMs: IMPATIENT_MS,
      freshMs: FRESH_MS,
      onFailure: (error) =>
        log.warn(
          { 'error.message': messageOf(error) },
          'metrics of the queue system cannot be read; /metrics goes on without them',
        ),
    })
    addQueueMetrics(
      registry,
      () => system,
      () => view().waitsForRedis ?? false,
    )
  }
  addWorkerMetrics(registry, tally, view)
  addBuildInfo(registry, version)
  if (store) addConnectionMetrics(registry, () => store.counts)
  if (processMetrics) addProcessMetrics(registry)

  let underWay: Promise<string> | undefined
  const write = async (): Promise<string> => {
    system = await read()
    const parts: string[] = []
    for (const name of namesIn(registry)) {
      parts.push(await registry.getSingleMetricAsString(name))
      await nextTurn() // a worker with many classes has megabytes to say: probes and jobs go in between
    }
    return `${parts.join('\n\n')}\n`
  }
  return Object.freeze({
    observer: tally.observer,
    contentType: registry.contentType,
    metrics: () => {
      underWay ??= write().finally(() => {
        underWay = undefined
      })
      return underWay
    },
  })
}

function namesIn(registry: Registry): string[] {
  return registry.getMetricsAsArray().map((metric) => metric.name)
}
