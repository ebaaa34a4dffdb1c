import type { Isolation, JobPolicy, JobRun } from './engine.ts'
import type { Outcome } from './outcome.ts'

/** Processes made ahead of need: as many as can run, but no more than this. */
export const MAX_SPARE = 16
/**
 * The process of a job that runs alone is replaced so much later, where others wait: to make one takes a core from the
 * job's own beginning. Milliseconds.
 */
export const REFILL_MS = 5
/** After a process that could not be made, the next comes no sooner than this; doubled each time. Milliseconds. */
export const PAUSE_MS = 250
export const MAX_PAUSE_MS = 10_000
/** Processes that end before their job begins, until it goes back. */
export const MAX_TRIES = 3

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
