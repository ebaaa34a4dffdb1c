import {
  checkRetry,
  checkTimeout,
  DEFAULT_DELAY_S,
  DEFAULT_JITTER,
  type RetryOption,
  type RetryPolicy,
} from '../retry.ts'
import type { JobOptions } from './definition.ts'
import type { JobPolicy } from './engine.ts'

const milliseconds = (seconds: number): number => Math.round(seconds * 1000)

/** Turns the `retry` of a job into a policy. Throws `INVALID_ARGUMENT`. */
export function retryPolicy(retry: RetryOption): RetryPolicy {
  const { attempts, backoff, delays, maxDelay, jitter } = checkRetry(retry)
  return {
    attempts,
    backoff: backoff ?? 'exponential',
    delaysMs: (delays ?? [DEFAULT_DELAY_S]).map(milliseconds),
    ...(maxDelay === undefined ? {} : { maxDelayMs: milliseconds(maxDelay) }),
    jitter: jitter ?? DEFAULT_JITTER,
  }
}

/** What the parent applies of a job's options. Throws `INVALID_ARGUMENT`. */
export function jobPolicy(name: string, options: JobOptions): JobPolicy {
  return {
    name,
    ...(options.retry === undefined ? {} : { retry: retryPolicy(options.retry) }),
    ...(options.timeout === undefined ? {} : { timeoutMs: milliseconds(checkTimeout(options.timeout)) }),
  }
}
