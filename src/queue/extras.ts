import { ResQueueError } from '../errors.ts'

/**
 * Retries of one enqueue, in seconds. A number stands for `{ attempts }`; `attempts` counts all runs, so 1 means no retry.
 */
export type RetryOption =
  | number
  | {
      readonly attempts: number
      /** Default `exponential`, or `list` where several delays are given. */
      readonly backoff?: 'fixed' | 'exponential' | 'list'
      /** Seconds. fixed and exponential: one; list: one per retry, the last one repeats. Default 1. */
      readonly delay?: number | readonly number[]
      /** Longest delay in seconds. Default 3600. */
      readonly max?: number
      /** Share of a delay that is drawn at random, 0–1. Default 0.1. */
      readonly jitter?: number
    }

/**
 * The value of a payload's last key `x`, or undefined where there is nothing to say. Its form, all parts optional except
 * `attempts`, times in seconds:
 *
 *     "x":{"retry":{"attempts":5,"backoff":"exponential","delays":[1],"max":3600,"jitter":0.1},"timeout":30}
 *
 * Throws `INVALID_ARGUMENT`.
 */
export function encodeExtras(retry: RetryOption | undefined, timeoutSeconds: number | undefined): string | undefined {
  if (retry === undefined && timeoutSeconds === undefined) return undefined
  return JSON.stringify({
    ...(retry === undefined ? {} : { retry: encodeRetry(retry) }),
    ...(timeoutSeconds === undefined ? {} : { timeout: positive(timeoutSeconds, 'timeout') }),
  })
}

function encodeRetry(option: RetryOption): Record<string, unknown> {
  if (typeof option === 'number') return { attempts: attemptsOf(option) }
  const { attempts, backoff, delay, max, jitter } = option
  if (backoff !== undefined && !['fixed', 'exponential', 'list'].includes(backoff)) {
    throw new ResQueueError('INVALID_ARGUMENT', `retry.backoff must be fixed, exponential or list, not "${String(backoff)}".`)
  }
  if (jitter !== undefined && !(jitter >= 0 && jitter <= 1)) throw new ResQueueError('INVALID_ARGUMENT', 'retry.jitter must be between 0 and 1.')
  const delays = delay === undefined ? undefined : typeof delay === 'number' ? [delay] : [...delay]
  if (delays?.length === 0) throw new ResQueueError('INVALID_ARGUMENT', 'retry.delay must hold at least one delay.')
  for (const d of delays ?? []) {
    if (typeof d !== 'number' || !(d >= 0 && Number.isFinite(d))) throw new ResQueueError('INVALID_ARGUMENT', 'retry.delay must be seconds, 0 or more.')
  }
  return {
    attempts: attemptsOf(attempts),
    ...(backoff !== undefined || (delays?.length ?? 0) > 1 ? { backoff: backoff ?? 'list' } : {}),
    ...(delays ? { delays } : {}),
    ...(max === undefined ? {} : { max: positive(max, 'retry.max') }),
    ...(jitter === undefined ? {} : { jitter }),
  }
}

function attemptsOf(value: number): number {
  if (!Number.isInteger(value) || value < 1 || value > 1_000_000) {
    throw new ResQueueError('INVALID_ARGUMENT', 'retry counts all attempts of a job: a whole number, 1 or more (1 means no retry).')
  }
  return value
}

function positive(value: number, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
    throw new ResQueueError('INVALID_ARGUMENT', `${what} is in seconds and must be more than 0.`)
  }
  return value
}
