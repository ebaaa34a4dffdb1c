/**
 * How an error that job code throws asks for special treatment. A well-known symbol and not `instanceof`, because the job's
 * `resqueue/job` may be another copy of this package than the worker's own.
 */
export type Verdict =
  | { readonly kind: 'fatal' }
  | { readonly kind: 'retry'; readonly afterMs: number }
  | { readonly kind: 'skip' }

export const VERDICT: unique symbol = Symbol.for('resqueue.verdict') as never

/** The verdict that an error carries, if any. */
export function verdictOf(error: unknown): Verdict | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  return (error as { [VERDICT]?: Verdict })[VERDICT]
}
