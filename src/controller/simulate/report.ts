import type { Run } from './run.ts'

/** One model's figures, as `-o json` prints them. */
export interface ModelReport {
  readonly model: string
  /** Share of all jobs that started within the target, 0 to 1. */
  readonly startedWithinTarget: number
  readonly waitSeconds: { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number }
  readonly podMinutes: number
  /** Writes of `spec.replicas`. */
  readonly changes: number
  readonly busyPodsKilled: number
  /** The depth target, for models that have one. */
  readonly depthTarget?: number
  /** Jobs that never started, where there are any. */
  readonly neverStarted?: number
}

export function reportOf(
  { model, jobs, waits, podSeconds, changes, busyPodsKilled }: Run,
  targetSeconds: number,
): ModelReport {
  const sorted = waits.slice().sort()
  const quantile = (q: number): number => rounded(sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0, 3)
  // A wait is the difference of two sums: what is over by rounding is not over.
  const inTime = sorted.findLastIndex((wait) => wait <= targetSeconds + 1e-6) + 1
  return {
    model: model.name,
    startedWithinTarget: rounded(inTime / jobs, 6),
    waitSeconds: { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), max: quantile(1) },
    podMinutes: rounded(podSeconds / 60, 2),
    changes,
    busyPodsKilled,
    ...(model.depthTarget === null ? {} : { depthTarget: model.depthTarget }),
    ...(waits.length < jobs ? { neverStarted: jobs - waits.length } : {}),
  }
}

function rounded(value: number, digits: number): number {
  const unit = 10 ** digits
  return Math.round(value * unit) / unit
}
