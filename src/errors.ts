/**
 * Every error that ResQueue throws on purpose. Callers branch on `code`, which is stable; the message says what
 * happened and what to do about it. `docs/errors.md` lists them.
 */
export type ErrorCode =
  /** The caller passed something that cannot be used: nothing was sent. */
  | 'INVALID_ARGUMENT'
  /** Redis could not be reached, or did not answer in time. */
  | 'REDIS_UNAVAILABLE'
  /** Redis answered and refused: read-only replica, wrong password, missing permission, a key of an unexpected type. */
  | 'REDIS_REFUSED'
  /** `maxmemory` is reached and the eviction policy is `noeviction`: nothing was written. */
  | 'REDIS_FULL'
  /** The answer to an enqueue was lost for five seconds, or its replicas did not confirm it: it may be in its queue. */
  | 'ENQUEUE_UNCERTAIN'
  /** The namespace was written by a newer ResQueue. */
  | 'NEWER_LAYOUT'
  /** A command line, or an option of the client, that cannot be understood. */
  | 'USAGE'
  /** Configuration that cannot work. */
  | 'CONFIG'
  /** The job modules did not load. */
  | 'JOBS'
  /** What was asked for is not there. */
  | 'NOT_FOUND'
  /** A port is taken, or another resource of the machine could not be had. */
  | 'UNAVAILABLE'
  /** The API server of Kubernetes could not be reached, or is too busy. A write may have happened or not. */
  | 'KUBERNETES_UNAVAILABLE'
  /** The API server answered and refused: missing permission, an object that is not valid. */
  | 'KUBERNETES_REFUSED'

/** Exit codes of the command line, after sysexits: 64 usage, 69 unavailable, 78 configuration, 1 anything else. */
const EXIT: Partial<Record<ErrorCode, number>> = {
  USAGE: 64,
  INVALID_ARGUMENT: 64,
  REDIS_UNAVAILABLE: 69,
  REDIS_REFUSED: 69,
  REDIS_FULL: 69,
  ENQUEUE_UNCERTAIN: 69,
  UNAVAILABLE: 69,
  KUBERNETES_UNAVAILABLE: 69,
  KUBERNETES_REFUSED: 69,
  CONFIG: 78,
  JOBS: 78,
  NEWER_LAYOUT: 78,
}

/**
 * The one error class of ResQueue. `code` is stable, `data` carries what the code promises (for example the job's id).
 */
export class ResQueueError extends Error {
  override readonly name: string = 'ResQueueError'
  readonly code: ErrorCode
  readonly data: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; data?: Record<string, unknown> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.data = options.data ?? {}
  }

  /** The exit code with which the command line ends when this error reaches it. */
  get exitCode(): number {
    return EXIT[this.code] ?? 1
  }
}

/** The message of anything that was thrown, for a log line or a record. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
