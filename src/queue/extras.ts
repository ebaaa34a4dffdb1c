import { isObject } from '../json.ts'
import {
  checkRetry,
  checkTimeout,
  DEFAULT_DELAY_S,
  DEFAULT_JITTER,
  MOST_SECONDS,
  type RetryOption,
  type RetryPolicy,
} from '../retry.ts'
import type { Payload } from './payload.ts'

/** What a payload's `x` says about its own run. */
export interface Extras {
  readonly retry?: RetryPolicy
  readonly timeoutMs?: number
}

/**
 * The value of a payload's last key `x`, or undefined where there is nothing to say. Its form, all parts optional
 * except `attempts`, times in seconds:
 *
 *     "x":{"retry":{"attempts":5,"backoff":"exponential","delays":[5],"max":3600,"jitter":0.2},"timeout":30}
 *
 * Throws `INVALID_ARGUMENT`.
 */
export function encodeExtras(retry: RetryOption | undefined, timeoutSeconds: number | undefined): string | undefined {
  if (retry === undefined && timeoutSeconds === undefined) return undefined
  // Fields that are undefined are left out.
  return JSON.stringify({
    retry: retry === undefined ? undefined : encodeRetry(retry),
    timeout: timeoutSeconds === undefined ? undefined : checkTimeout(timeoutSeconds),
  })
}

/** Reads a payload's `x`. What has another form is ignored, because payloads may come from anyone. */
export function extrasOf(payload: Payload): Extras {
  const { x } = payload.fields
  if (!isObject(x)) return {}
  const retry = decodeRetry(x['retry'])
  const timeout = seconds(x['timeout'])
  return {
    ...(retry ? { retry } : {}),
    ...(timeout !== undefined && timeout > 0 ? { timeoutMs: timeout * 1000 } : {}),
  }
}

function encodeRetry(option: RetryOption): Record<string, unknown> {
  const { maxDelay, ...rest } = checkRetry(option)
  return { ...rest, max: maxDelay }
}

function decodeRetry(value: unknown): RetryPolicy | undefined {
  if (!isObject(value)) return undefined
  const attempts = number(value['attempts'])
  if (attempts === undefined || !Number.isInteger(attempts) || attempts < 1) return undefined
  const { backoff } = value
  const given = Array.isArray(value['delays']) ? value['delays'].map(seconds) : []
  const delays = given.filter((d) => d !== undefined)
  const jitter = number(value['jitter']) ?? DEFAULT_JITTER
  const max = seconds(value['max'])
  return {
    attempts,
    backoff: backoff === 'fixed' || backoff === 'list' ? backoff : 'exponential',
    delaysMs: (delays.length > 0 ? delays : [DEFAULT_DELAY_S]).map((d) => d * 1000),
    ...(max === undefined ? {} : { maxDelayMs: max * 1000 }),
    jitter: Math.min(Math.max(jitter, 0), 1),
  }
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function seconds(value: unknown): number | undefined {
  const given = number(value)
  return given === undefined || given < 0 ? undefined : Math.min(given, MOST_SECONDS)
}
