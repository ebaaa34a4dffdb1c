import { defined } from './defined.ts'
import { ResQueueError } from './errors.ts'

/** Retries as a job or an enqueue asks for them. Durations in seconds. */
export interface RetryOptions {
  /** All runs counted: 1 means no retry. */
  readonly attempts: number
  /**
   * `exponential` doubles `delay` each time, `fixed` repeats it, `list` takes `delays` one by one. Default:
   * exponential, or list where `delays` is given.
   */
  readonly backoff?: 'fixed' | 'exponential' | 'list'
  /** Default 5. */
  readonly delay?: number
  /** One delay per retry; the last one repeats. */
  readonly delays?: readonly number[]
  /** Default 6 hours. */
  readonly maxDelay?: number
  /** 0–1: share of the delay that is drawn at random. Default 0.2. */
  readonly jitter?: number
}

/** A number stands for `{ attempts }`. */
export type RetryOption = number | RetryOptions

/** Retries as a worker applies them. Durations in milliseconds. */
export interface RetryPolicy {
  /** All runs counted: 1 means no retry. */
  readonly attempts: number
  readonly backoff: 'fixed' | 'exponential' | 'list'
  /** fixed and exponential: [base]; list: one delay per retry, the last one repeats. */
  readonly delaysMs: readonly number[]
  /** Default 6 hours. */
  readonly maxDelayMs?: number
  /** 0–1: share of the delay that is drawn at random. */
  readonly jitter: number
}

export const DEFAULT_DELAY_S = 5
export const DEFAULT_JITTER = 0.2

/** The longest delay or timeout that is taken: a hundred years of seconds. */
export const MOST_SECONDS = 3_155_760_000

const FIELDS = ['attempts', 'backoff', 'delay', 'delays', 'maxDelay', 'jitter']

/** Retries that were asked for, checked; what was left out is left out, but `delay` stands in `delays`. */
export type CheckedRetry = Omit<RetryOptions, 'delay'>

/** Checks what was asked for. Throws `INVALID_ARGUMENT`. */
export function checkRetry(option: RetryOption): CheckedRetry {
  const given = typeof option === 'number' ? { attempts: option } : option
  if (typeof given !== 'object' || given === null || !Number.isInteger(given.attempts) || given.attempts < 1)
    throw invalid('retry must be a number of attempts of at least 1 (1 means no retry), or { attempts, … }.')
  const unknown = Object.keys(given).find((field) => !FIELDS.includes(field))
  if (unknown !== undefined) throw invalid(`retry.${unknown} is unknown; there are ${FIELDS.join(', ')}.`)
  const { attempts, delay, delays, maxDelay, jitter } = given
  const backoff = given.backoff ?? (delays ? 'list' : undefined)
  if (backoff !== undefined && !['fixed', 'exponential', 'list'].includes(backoff))
    throw invalid(`retry.backoff must be fixed, exponential or list, not ${JSON.stringify(backoff)}.`)
  if (backoff === 'list' && (!Array.isArray(delays) || delays.length === 0))
    throw invalid('retry.delays must be a list of seconds when backoff is list.')
  if (jitter !== undefined && !(typeof jitter === 'number' && jitter >= 0 && jitter <= 1))
    throw invalid(`retry.jitter must be between 0 and 1, not ${JSON.stringify(jitter)}.`)
  const list = backoff === 'list' ? delays : delay === undefined ? undefined : [delay]
  return {
    attempts,
    ...defined({
      backoff,
      delays: list?.map((one) => checkSeconds(one, 'retry.delay')),
      maxDelay: maxDelay === undefined ? undefined : checkSeconds(maxDelay, 'retry.maxDelay'),
      jitter,
    }),
  }
}

/** Checks a number of seconds, 0 or more. Throws `INVALID_ARGUMENT`, naming it as `what`. */
export function checkSeconds(value: unknown, what: string): number {
  if (typeof value === 'number' && value >= 0 && value <= MOST_SECONDS) return value
  const shown = typeof value === 'number' ? String(value) : JSON.stringify(value)
  throw invalid(`${what} must be a number of seconds, at most ${MOST_SECONDS}, not ${shown}.`)
}

/** Checks a timeout in seconds, more than 0. Throws `INVALID_ARGUMENT`. */
export function checkTimeout(value: unknown): number {
  const seconds = checkSeconds(value, 'timeout')
  if (seconds > 0) return seconds
  throw invalid('timeout must be a number of seconds, more than 0.')
}

function invalid(message: string): ResQueueError {
  return new ResQueueError('INVALID_ARGUMENT', message)
}
