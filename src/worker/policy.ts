import { ResQueueError } from '../errors.ts'
import type { JobOptions, RetryOptions } from './definition.ts'
import type { JobPolicy, RetryPolicy } from './engine.ts'

const DEFAULT_DELAY_S = 5
const DEFAULT_JITTER = 0.2

function seconds(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return Math.round(value * 1000)
  throw new ResQueueError('INVALID_ARGUMENT', `${name} must be a number of seconds, not ${JSON.stringify(value)}`)
}

/** Turns the `retry` of a job or of one enqueue into a policy with every default filled in. Throws `INVALID_ARGUMENT`. */
export function retryPolicy(retry: number | RetryOptions): RetryPolicy {
  const given: RetryOptions = typeof retry === 'number' ? { attempts: retry } : retry
  if (typeof given !== 'object' || given === null || !Number.isInteger(given.attempts) || given.attempts < 1) {
    throw new ResQueueError('INVALID_ARGUMENT', 'retry must be a number of attempts of at least 1, or { attempts, … }')
  }
  const backoff = given.backoff ?? (given.delays ? 'list' : 'exponential')
  if (!['fixed', 'exponential', 'list'].includes(backoff)) {
    throw new ResQueueError(
      'INVALID_ARGUMENT',
      `retry.backoff must be fixed, exponential or list, not ${JSON.stringify(backoff)}`,
    )
  }
  const delays = backoff === 'list' ? given.delays : [given.delay ?? DEFAULT_DELAY_S]
  if (!Array.isArray(delays) || delays.length === 0) {
    throw new ResQueueError('INVALID_ARGUMENT', 'retry.delays must be a list of seconds when backoff is list')
  }
  const jitter = given.jitter ?? DEFAULT_JITTER
  if (!(typeof jitter === 'number' && jitter >= 0 && jitter <= 1)) {
    throw new ResQueueError('INVALID_ARGUMENT', `retry.jitter must be between 0 and 1, not ${JSON.stringify(jitter)}`)
  }
  return {
    attempts: given.attempts,
    backoff,
    delaysMs: delays.map((delay) => seconds(delay, 'retry.delay')),
    ...(given.maxDelay === undefined ? {} : { maxDelayMs: seconds(given.maxDelay, 'retry.maxDelay') }),
    jitter,
  }
}

/** What the parent applies of a job's options. Throws `INVALID_ARGUMENT`. */
export function jobPolicy(name: string, options: JobOptions): JobPolicy {
  return {
    name,
    ...(options.retry === undefined ? {} : { retry: retryPolicy(options.retry) }),
    ...(options.timeout === undefined ? {} : { timeoutMs: seconds(options.timeout, 'timeout') }),
  }
}
