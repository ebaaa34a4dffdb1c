import { ResQueueError } from '../errors.ts'

/**
 * Retries of one enqueue, durations in seconds: the same form as a job's own `retry`. A number stands for `{ attempts }`;
 * `attempts` counts all runs, so 1 means no retry.
 */
export type RetryOption =
  | number
  | {
      readonly attempts: number
      /** `exponential` doubles `delay` each time, `fixed` repeats it, `list` takes `delays` one by one. Default exponential, or list where `delays` is given. */
      readonly backoff?: 'fixed' | 'exponential' | 'list'
      /** Default 5. */
      readonly delay?: number
      /** One delay per retry; the last one repeats. */
      readonly delays?: readonly number[]
      readonly maxDelay?: number
      /** Share of a delay that is drawn at random, 0–1. Default 0.2. */
      readonly jitter?: number
    }

/**
 * The value of a payload's last key `x`, or undefined where there is nothing to say. Its form, all parts optional except
 * `attempts`, times in seconds:
 *
 *     "x":{"retry":{"attempts":5,"backoff":"exponential","delays":[5],"max":3600,"jitter":0.2},"timeout":30}
 *
 * Throws `INVALID_ARGUMENT`.
 */
export function encodeExtras(retry: RetryOption | undefined, timeoutSeconds: number | undefined): string | undefined {
  if (retry === undefined && timeoutSeconds === undefined) return undefined
  return JSON.stringify({
    ...(retry === undefined ? {} : { retry: encodeRetry(retry) }),
    ...(timeoutSeconds === undefined ? {} : { timeout: secondsOf(timeoutSeconds, 'timeout', false) }),
  })
}

function encodeRetry(option: RetryOption): Record<string, unknown> {
  const given = typeof option === 'number' ? { attempts: option } : option
  if (typeof given !== 'object' || given === null || !Number.isInteger(given.attempts) || given.attempts < 1) {
    throw invalid('retry must be a number of attempts of at least 1 (1 means no retry), or { attempts, … }.')
  }
  const { attempts, delay, delays, maxDelay, jitter } = given
  const backoff = given.backoff ?? (delays ? 'list' : undefined)
  if (backoff !== undefined && !['fixed', 'exponential', 'list'].includes(backoff)) {
    throw invalid(`retry.backoff must be fixed, exponential or list, not ${JSON.stringify(backoff)}.`)
  }
  if (backoff === 'list' && (!Array.isArray(delays) || delays.length === 0))
    throw invalid('retry.delays must be a list of seconds when backoff is list.')
  if (jitter !== undefined && !(typeof jitter === 'number' && jitter >= 0 && jitter <= 1))
    throw invalid('retry.jitter must be between 0 and 1.')
  const list = backoff === 'list' ? delays : delay === undefined ? undefined : [delay]
  return {
    attempts,
    ...(backoff === undefined ? {} : { backoff }),
    ...(list ? { delays: list.map((d) => secondsOf(d, 'retry.delay', true)) } : {}),
    ...(maxDelay === undefined ? {} : { max: secondsOf(maxDelay, 'retry.maxDelay', true) }),
    ...(jitter === undefined ? {} : { jitter }),
  }
}

function secondsOf(value: unknown, what: string, zero: boolean): number {
  if (typeof value === 'number' && Number.isFinite(value) && (value > 0 || (zero && value === 0))) return value
  throw invalid(`${what} must be a number of seconds${zero ? '' : ', more than 0'}.`)
}

function invalid(message: string): ResQueueError {
  return new ResQueueError('INVALID_ARGUMENT', message)
}
