import { defined } from '../defined.ts'
import { familyJson } from '../json.ts'
import type { Ending } from '../queue/turn.ts'
import { MOST_SECONDS, type RetryPolicy } from '../retry.ts'
import type { Result } from '../telemetry/observer.ts'
import type { JobPolicy, JobRun } from './engine.ts'
import type { JobError, Outcome } from './outcome.ts'

/** A failure as it is recorded and as failure backends and `onFailure` see it. */
export interface Failure {
  readonly job: JobRun
  readonly worker: string
  readonly failedAt: Date
  readonly error: JobError
  readonly exitCode?: number
  readonly signal?: string
  readonly peakMemoryBytes?: number
  readonly stderr?: string
}

/** What to do about an outcome. */
export type Judgement =
  | {
      readonly kind: 'end'
      readonly result: Result
      readonly ending: Ending
      /** Why it is retried; undefined: it has not failed. */
      readonly error?: JobError
    }
  | { readonly kind: 'fail'; readonly result: Result; readonly failure: Failure }
  /** Interrupted or never begun: nothing is recorded, the job goes back. */
  | { readonly kind: 'return'; readonly counted: boolean; readonly reason: string }

/** Retries that `Retry(after)` gets where no policy says how many. Sidekiq's number. */
const RETRIES_WITHOUT_POLICY = 25
const DEFAULT_MAX_DELAY_MS = 6 * 3600 * 1000

/** Decides what is recorded of a run (R31–R36, R44, R47; retries are our own). */
export function judge(
  job: JobRun,
  outcome: Outcome,
  policy: JobPolicy | undefined,
  extraRetry: RetryPolicy | undefined,
  worker: string,
  now: number,
  random: () => number = Math.random,
): Judgement {
  switch (outcome.kind) {
    case 'succeeded':
      return { kind: 'end', result: 'succeeded', ending: { verb: 'done', result: outcome.result } }
    case 'skipped':
      return { kind: 'end', result: 'skipped', ending: { verb: 'done', result: 'false' } }
    case 'returned':
      return { kind: 'return', counted: outcome.counted, reason: outcome.reason }
    default: {
      if (outcome.kind === 'exited' && outcome.code === 0) {
        return { kind: 'end', result: 'succeeded', ending: { verb: 'done', result: 'null' } } // R33
      }
      const error = errorOf(outcome)
      const delayMs = retryDelay(error, outcome.kind, extraRetry ?? policy?.retry, job.attempt, random)
      if (delayMs !== undefined) {
        return {
          kind: 'end',
          result: 'retried',
          error,
          ending: {
            verb: 'retry',
            delayMs,
            attempt: job.attempt,
            error: `${error.type}: ${error.message}`.slice(0, 500),
          },
        }
      }
      const { process } = outcome
      return {
        kind: 'fail',
        result: outcome.kind,
        failure: {
          job,
          worker,
          failedAt: new Date(now),
          error,
          ...defined({
            exitCode: outcome.kind === 'exited' ? outcome.code : process?.exitCode,
            signal: outcome.kind === 'signalled' ? outcome.signal : process?.signal,
            peakMemoryBytes: process?.peakMemoryBytes,
            stderr: process?.stderr,
          }),
        },
      }
    }
  }
}

type Unclean = Exclude<Outcome, { kind: 'succeeded' | 'skipped' | 'returned' }>

function errorOf(outcome: Unclean): JobError {
  switch (outcome.kind) {
    case 'failed':
      return outcome.error
    case 'exited':
      return { type: 'DirtyExit', message: `Job exited with exit code ${outcome.code}`, backtrace: [] } // R31
    case 'signalled':
      return { type: 'DirtyExit', message: 'Job exited abnormally', backtrace: [] } // R32
    case 'cancelled':
      return { type: 'DirtyExit', message: `Job was cancelled: ${outcome.reason}`, backtrace: [] }
    case 'timed_out':
      return {
        type: 'Timeout',
        message: `Job ran longer than its timeout of ${outcome.timeoutMs / 1000} s`,
        backtrace: [],
      }
    case 'out_of_memory': {
      const limit = outcome.limitBytes === undefined ? '' : ` of ${Math.round(outcome.limitBytes / 1048576)} MiB`
      return { type: 'OutOfMemory', message: `Job exceeded its memory limit${limit}`, backtrace: [] }
    }
  }
}

/**
 * Milliseconds until the next attempt, or undefined for none. A cancelled job is never retried: somebody stopped it.
 */
function retryDelay(
  error: JobError,
  kind: Unclean['kind'],
  policy: RetryPolicy | undefined,
  attempt: number,
  random: () => number,
): number | undefined {
  if (error.fatal || kind === 'cancelled') return undefined
  const allowed = policy?.attempts ?? (error.retryAfterMs === undefined ? 1 : RETRIES_WITHOUT_POLICY + 1)
  if (attempt >= allowed) return undefined
  // Job code may throw what no `Retry` of ours asks for.
  if (error.retryAfterMs !== undefined) return Math.min(Math.max(error.retryAfterMs, 0), MOST_SECONDS * 1000)
  return policy && backoff(policy, attempt, random)
}

/** The delay before retry number `attempt`, in ms, jitter drawn from its top. */
export function backoff(policy: RetryPolicy, attempt: number, random: () => number): number {
  const { delaysMs, jitter } = policy
  const base = delaysMs[0] ?? 0
  const delay =
    policy.backoff === 'list'
      ? (delaysMs[Math.min(attempt, delaysMs.length) - 1] ?? 0)
      : policy.backoff === 'exponential'
        ? base * 2 ** Math.min(attempt - 1, 50)
        : base
  const capped = Math.min(delay, policy.maxDelayMs ?? DEFAULT_MAX_DELAY_MS)
  return capped * (1 - jitter * random())
}

/**
 * The record of a failure in two halves, between which the script puts the raw payload (A6; node-resque needs canonical
 * JSON).
 */
export function failureRecord({ job, worker, failedAt, error, ...rest }: Failure): { before: string; after: string } {
  // Fields that are undefined are left out.
  const after = familyJson({
    exception: error.type,
    error: error.message,
    backtrace: error.backtrace,
    worker,
    queue: job.queue,
    exit_code: rest.exitCode,
    signal: rest.signal,
    peak_memory_bytes: rest.peakMemoryBytes,
    stderr: rest.stderr,
    attempt: job.attempt,
  })
  return { before: `{"failed_at":"${familyDate(failedAt)}","payload":`, after: `,${after.slice(1)}` }
}

/** `YYYY/MM/DD HH:MM:SS UTC`, as Ruby Resque writes it. */
function familyDate(date: Date): string {
  return `${date.toISOString().slice(0, 19).replaceAll('-', '/').replace('T', ' ')} UTC`
}
