/** Result labels: the same words in metrics, logs and outcomes. */
export const RESULTS = [
  'succeeded',
  'failed',
  'skipped',
  'timed_out',
  'exited',
  'signalled',
  'out_of_memory',
  'cancelled',
  'retried',
] as const
export type Result = (typeof RESULTS)[number]

/** What a worker tells its telemetry. Every call is cheap and never throws. */
export interface WorkerObserver {
  jobStarted(queue: string, className: string, waitSeconds: number | undefined): void
  jobFinished(
    queue: string,
    className: string,
    result: Result,
    seconds: number,
    peakMemoryBytes: number | undefined,
  ): void
  forked(isolation: string, seconds: number): void
  /** Jobs of gone processes that this worker put back or failed. */
  recovered(jobs: number): void
}

/** What telemetry reads from a worker when it is scraped or probed. */
export interface WorkerView {
  readonly slots: number
  readonly busy: number
  readonly isolation: string
  /** Milliseconds since the reserve loop moved last: turned, renewed, or waited knowingly for an absent Redis. */
  readonly loopAgeMs: number
  /** Job modules loaded and the worker registered once. */
  readonly registered: boolean
  /** Why no job process can be had at the moment, if so. */
  readonly trouble?: string | undefined
  /** Whether the worker waits for Redis, because it is away or refuses what the worker asks. */
  readonly waitsForRedis?: boolean
  /** Whether it takes no jobs because somebody paused it: by USR2, or through Redis. */
  readonly paused: boolean
  /** From TERM on. */
  readonly stopping: boolean
  /** Queues that this worker serves at present, `*` and globs resolved. */
  readonly queues: readonly string[]
}
