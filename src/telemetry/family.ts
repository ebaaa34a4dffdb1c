import { type Metric, type Registry } from 'prom-client'
import type { Distribution } from './distribution.ts'

export type Labels = Readonly<Record<string, string>>

/** One line of a metric. */
export interface Sample {
  readonly value: number
  readonly labels?: Labels
  /** Labels common to many lines: the same object each time, so that it is written out once. */
  readonly sharedLabels?: Labels
  /** Where it differs from the metric's: `…_bucket`, `…_sum`, `…_count`. */
  readonly metricName?: string
}

/** A metric whose values are computed when it is asked for; nothing is kept in between. */
interface Family {
  /** Without the prefix `resqueue_`. Base units: seconds, bytes; counters end in `_total`. */
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  collect(): Iterable<Sample>
}

const PREFIX = 'resqueue_'

/** Puts a metric into the registry. Throws where its name is taken. */
export function addFamily(registry: Registry, family: Family): void {
  const { help, type } = family
  const name = `${PREFIX}${family.name}`
  const get = (): object => ({ name, help, type, values: [...family.collect()] })
  // The registry asks no more of a metric than a name and what it answers to `get`.
  registry.registerMetric({ name, get } as unknown as Metric)
}

/** The lines of one histogram, buckets cumulative as Prometheus wants them. */
export function* histogramSamples(name: string, from: Distribution, sharedLabels: Labels = {}): Generator<Sample> {
  let count = 0
  for (const [i, inBucket] of from.counts.entries()) {
    count += inBucket
    const bound = from.bounds[i]
    const labels = { le: bound === undefined ? '+Inf' : String(bound) }
    yield { metricName: `${PREFIX}${name}_bucket`, labels, sharedLabels, value: count }
  }
  yield { metricName: `${PREFIX}${name}_sum`, sharedLabels, value: from.sum }
  yield { metricName: `${PREFIX}${name}_count`, sharedLabels, value: count }
}
