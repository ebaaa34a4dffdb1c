/**
 * How an error that job code throws asks for special treatment. A property and not `instanceof`, because the job's
 * `resqueue/job` may be another copy of this package than the worker's own.
 */
export type Verdict =
  | { readonly kind: 'fatal' }
  | { readonly kind: 'retry'; readonly afterMs: number }
  | { readonly kind: 'skip' }

/** The verdict that an error carries, if any. Never throws. */
export function verdictOf(error: unknown): Verdict | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  try {
    return (error as { resqueueVerdict?: Verdict }).resqueueVerdict
  } catch {
    return undefined // a proxy whose trap throws
  }
}
