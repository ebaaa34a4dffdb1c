import type { Isolation, JobPolicy, JobRun } from './engine.ts'
import type { Outcome } from './outcome.ts'

/** How a run is steered from outside. */
export interface RunControl {
  readonly signal: AbortSignal
  readonly timeoutMs: number | undefined
  /** The job's process exists. */
  readonly started: (pid: number) => void
  /** While it runs, a run keeps in here how to end its process without TERM first. */
  readonly killers: Set<() => void>
}

/**
 * One set of loaded job code and the processes that run it. The engine replaces it as a whole: on reload, and when it
 * breaks.
 */
export interface Backend {
  readonly isolation: Isolation
  readonly policies: ReadonlyMap<string, JobPolicy>
  /** Why it cannot run a job at the moment, as far as it knows. */
  trouble?(): string | undefined
  /** The outcome itself where nothing in the job had to be waited for. Neither throws nor rejects. */
  run(job: JobRun, control: RunControl): Outcome | Promise<Outcome>
  /** Ends idle processes now and the rest with their jobs. Resolves when all are gone. */
  retire(): Promise<void>
}

/** What a backend tells its engine. */
export interface BackendTrouble {
  /** It cannot run jobs any more; those that ran have been returned. */
  lost(reason: string): void
  /** It works, but must not be relied on from now on. */
  unfit(reason: string): void
}
