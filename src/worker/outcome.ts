/** How a job's run ended. The parent decides from it what is recorded; nothing else leaves the engine. */
export type Outcome = (
  | {
      readonly kind: 'succeeded'
      /** What perform returned, as JSON; `null` where it cannot be encoded. */ readonly result: string
    }
  /** `DoNotPerform` was thrown (R44): not a failure. */
  | { readonly kind: 'skipped' }
  | { readonly kind: 'failed'; readonly error: JobError }
  | { readonly kind: 'timed_out'; readonly timeoutMs: number }
  /** The process left with a code of its own: `process.exit(3)` in job code (R31); code 0 counts as succeeded (R33). */
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signalled'; readonly signal: NodeJS.Signals }
  /** `--job-memory` was exceeded, the heap cap reached, or the kernel's OOM killer chose it. */
  | { readonly kind: 'out_of_memory'; readonly limitBytes?: number }
  /** The run was aborted from outside: USR1, fencing, shutdown. */
  | { readonly kind: 'cancelled'; readonly reason: string }
  /**
   * The run never began or its end is not the job's doing (zygote died, child never reported): the job goes back
   * unharmed.
   */
  | {
      readonly kind: 'returned'
      readonly reason: string
      /** Whether it counts towards `--max-recoveries`. */ readonly counted: boolean
    }
) & {
  readonly process?: ProcessReport
  /**
   * A signal that the engine had not sent, and that the job's code was told of: through its AbortSignal, or by a
   * listener of its own, where it left its process without a report.
   */
  readonly heard?: Heard
}

/** A signal that reached a job's process. */
export interface Heard {
  readonly signal: NodeJS.Signals
  /** Monotonic milliseconds. */
  readonly at: number
}

/** What is known of a job process that ended uncleanly, or was measured when it ended cleanly. */
export interface ProcessReport {
  readonly pid?: number
  readonly exitCode?: number
  readonly signal?: NodeJS.Signals
  /** What it held at most, shared memory included; of a process that ran jobs before, the most in all of them. */
  readonly peakMemoryBytes?: number
  /** The last 2 KB of what the job wrote to stderr. */
  readonly stderr?: string
}

/** A job's error as it crossed the process boundary. */
export interface JobError {
  /** The error's class name: `TypeError`, or the name a job's own class gives itself. */
  readonly type: string
  readonly message: string
  /** Stack frames, one per line of the stack, without the message. */
  readonly backtrace: readonly string[]
  /** Thrown as `Fatal`: never retried. */
  readonly fatal?: boolean
  /** Thrown as `Retry(after)`: retried after this many milliseconds, whatever the class's policy says. */
  readonly retryAfterMs?: number
}
