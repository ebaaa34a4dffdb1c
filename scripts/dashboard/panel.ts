/** One query and what its curves are called. */
export interface Target {
  readonly expr: string
  readonly legend: string
}

/** One panel of the dashboard. */
export interface Panel {
  readonly title: string
  readonly about: string
  readonly unit: string
  readonly targets: readonly Target[]
  /** A number instead of a curve; thresholds turn it orange and red. */
  readonly stat?: { readonly orange?: number; readonly red?: number }
  /** Areas that add up. */
  readonly stacked?: boolean
  /** Draws 0 and 1 as steps. */
  readonly max?: number
}

/** A titled group of panels of one size. */
export interface Row {
  readonly title: string
  readonly width: number
  readonly height: number
  readonly panels: readonly Panel[]
}

/** Series of workers and the controller of the chosen releases. */
export const ALL = 'namespace=~"$namespace",job=~"$job"'
/** The same for metrics of scalers, whose label `namespace` is the WorkerScaler's: the controller may be in another one. */
export const SCALER = `${ALL},name=~"$scaler"`
export const QUEUE = `${ALL},queue=~"$queue"`
export const FAILURES = 'result=~"failed|timed_out|exited|signalled|out_of_memory|retried"'

export const quantile = (q: number, metric: string, by: string, match: string): string =>
  `histogram_quantile(${q}, sum by (le, ${by}) (rate(${metric}_bucket{${match}}[$__rate_interval])))`
export const line = (expr: string, legend: string): Target => ({ expr, legend })
/** Several controllers may show a scaler; only the leader's values move. */
export const scaler = (metric: string, legend: string): Target =>
  line(`max by (namespace, name) (${metric}{${SCALER}})`, legend)
