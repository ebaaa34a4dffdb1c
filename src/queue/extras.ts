import { checkRetry, checkTimeout, type RetryOption } from '../retry.ts'

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

function encodeRetry(option: RetryOption): Record<string, unknown> {
  const { maxDelay, ...rest } = checkRetry(option)
  return { ...rest, max: maxDelay }
}
