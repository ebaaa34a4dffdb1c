import type { EngineOptions } from './engine.ts'

/**
 * Where a failure is recorded: the list `failed`, one list per queue as Ruby's RedisMultiQueue keeps them, or a module
 * of one's own.
 */
export type FailureBackend =
  | { readonly kind: 'redis' }
  | { readonly kind: 'multi-queue' }
  | { readonly kind: 'module'; readonly file: string }

/** Everything that `resqueue work` can be told, resolved: flags over environment over defaults. */
export interface WorkerOptions {
  /** In order of priority: names, `*`, globs, `!skip`. At least one. */
  readonly queues: readonly string[]
  /** Jobs run at once (COUNT). 1–512. */
  readonly concurrency: number
  readonly engine: Omit<EngineOptions, 'events' | 'concurrency'>
  /** Between two looks at the queues while idle, ms. */
  readonly intervalMs: number
  /** Wait on tokens between looks; false: only poll. */
  readonly blocking: boolean
  /** Leave when no job is found and none runs. */
  readonly burst: boolean
  /** Leave after this many jobs; undefined: never. */
  readonly maxJobs?: number
  /** From TERM until running jobs are stopped and put back, ms. */
  readonly shutdownTimeoutMs: number
  readonly maxRecoveries: number
  /** Give up with exit 69 when Redis is absent at the start, instead of waiting for it. */
  readonly failFast: boolean
  readonly failureBackends: readonly FailureBackend[]
  /** Host part of the worker ids; default: POD_NAME, else the host name. */
  readonly name?: string
  /** Absolute path of the hooks module. */
  readonly hooks?: string
}
