import type { RetryOption } from '../retry.ts'
import type { JobContext } from './currentjob.ts'

/** What a job says about itself beside its code. */
export interface JobOptions {
  /** A number means that many attempts in all, with an exponential backoff from 5 s. Default: no retry. */
  readonly retry?: RetryOption
  /** Seconds until a run is ended as timed out, more than 0. Default: the worker's `--timeout`. */
  readonly timeout?: number
}

/** A job's code: the payload's args, then the context. */
export type JobHandler<Args extends readonly unknown[], Result> = (
  ...args: [...args: Args, job: JobContext]
) => Result | Promise<Result>

/**
 * A handler whose parameters all say their types, which need not end with the context then. One that leaves types out
 * tells nothing of its parameters: it gets them from `JobHandler`, context included.
 */
export type AnnotatedHandler<Params extends readonly unknown[], Result> = readonly unknown[] extends Params
  ? never
  : Params extends readonly [...unknown[], infer Last]
    ? 0 extends 1 & Last
      ? never
      : (...args: Params) => Result
    : (...args: Params) => Result

/** What `defineJob` returns: give it to `enqueue`, and its arguments are checked. */
export interface JobDefinition<Args extends readonly unknown[] = readonly unknown[]> {
  /** The class name in payloads; empty when the job is named after its file or export. */
  readonly jobName: string
  readonly handler: (...args: never[]) => unknown
  readonly options: JobOptions
  /** Types only: never there at run time. */
  readonly args?: Args
}

// A well-known symbol and not `instanceof`: the job's `resqueue/job` may be another copy of this package than the
// worker's.
const BRAND = Symbol.for('resqueue.job')

/** Makes a definition; `defineJob` is the public door. */
export function makeDefinition(
  jobName: string,
  handler: (...args: never[]) => unknown,
  options: JobOptions,
): JobDefinition {
  return Object.freeze({ [BRAND]: true, jobName, handler, options })
}

/** Whether a value came from `defineJob`, of any copy of this package. */
export function isDefinition(value: unknown): value is JobDefinition {
  return typeof value === 'object' && value !== null && BRAND in value
}
