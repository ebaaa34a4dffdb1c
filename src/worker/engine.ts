import type { RetryPolicy } from '../retry.ts'
import type { JobLog } from './currentjob.ts'
import type { Outcome } from './outcome.ts'

/** How job code is kept apart from the process that talks to Redis. */
export type Isolation = 'fork' | 'spawn' | 'inline'

/** One reserved job as an engine sees it. */
export interface JobRun {
  /** The payload's `id`; empty for payloads without one (Ruby, node-resque). */
  readonly id: string
  readonly queue: string
  readonly class: string
  /** The payload as it stands in Redis: JSON text, already known to parse. */
  readonly payload: string
  /** The same, decoded; what is handed in here belongs to job code from then on. Only `inline` looks at it. */
  readonly decoded?: Readonly<Record<string, unknown>> | undefined
  /** 1 for the first attempt. */
  readonly attempt: number
  /** Per-enqueue timeout, overriding the class's; undefined: the class's, else `--timeout`. */
  readonly timeoutMs?: number
}

/** What a job definition says about itself; policies that the parent applies, since job code never loads there. */
export interface JobPolicy {
  readonly name: string
  readonly retry?: RetryPolicy
  readonly timeoutMs?: number
}

/** Something worth a log line or a count that happened between jobs. */
export interface EngineEvents {
  /** A line that job code wrote to stdout or stderr. */
  output(job: JobRun, stream: 'stdout' | 'stderr', line: string): void
  /** A line of `job.log`. */
  log(job: JobRun, level: keyof JobLog, message: string, fields: Record<string, unknown>): void
  /** A job process was made; seconds it took. */
  forked(isolation: Isolation, seconds: number): void
  /** The engine changed its ways: fell back to spawn, replaced a zygote, kept old code after a bad reload. */
  notice(level: 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): void
}

/** Runs jobs apart from the process that talks to Redis, as far as its isolation goes. */
export interface Engine {
  /** The isolation in force; `fork` may become `spawn` for the rest of the engine's life. */
  readonly isolation: Isolation
  /** Policies by job name, as the loaded modules declare them. */
  readonly policies: ReadonlyMap<string, JobPolicy>
  /**
   * Why no job process can be had at the moment, although job code once loaded. Jobs that are run then go back,
   * uncounted, or wait.
   */
  readonly trouble: string | undefined
  /**
   * Runs one job to its end; the outcome comes at once where nothing in the job had to be waited for, which only
   * `inline` can do. Never throws or rejects. When `signal` aborts, the job is told (AbortSignal, then TERM, then KILL
   * after `killDelayMs`) and the outcome is `cancelled`. `started` is called when the job process exists, with its pid.
   */
  run(job: JobRun, signal: AbortSignal, started?: (pid: number) => void): Outcome | Promise<Outcome>
  /** KILLs the processes of all running jobs at once, without TERM first; their runs end as they would for an abort. */
  kill(): void
  /**
   * Loads job code anew for jobs that start after it resolves. On failure the old code stays and the promise rejects
   * (`JOBS`, `CONFIG`, `UNAVAILABLE`).
   */
  reload(): Promise<void>
  /** Ends idle processes. Running jobs must have been awaited or aborted before. */
  stop(): Promise<void>
}

export interface EngineOptions {
  readonly isolation: 'auto' | Isolation
  /** Absolute path of the job module or folder. */
  readonly jobs: string
  /** Absolute path of the hooks module, if any: its child-side listeners run in job processes. */
  readonly hooks?: string
  readonly concurrency: number
  /** Jobs that one process performs before it is replaced; 0 = no limit. */
  readonly jobsPerChild: number
  /** MiB; watched by the parent and the heap cap of children. */
  readonly jobMemoryMiB?: number
  /** Default for jobs without a timeout of their own. */
  readonly timeoutMs?: number
  /** From TERM to KILL. */
  readonly killDelayMs: number
  readonly events: EngineEvents
}
