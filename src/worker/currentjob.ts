import { ResQueueError } from '../errors.ts'

/**
 * Where a job's own log lines go: they become lines of the worker's log, with the job's id. `fields` must be JSON, or
 * errors.
 */
export interface JobLog {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

/** What a job may know of itself: the handler's last argument, `this.job` in the class form, or `currentJob()`. */
export interface JobContext {
  /** The payload's id; empty for payloads of producers that give none (Ruby, node-resque). */
  readonly id: string
  readonly queue: string
  readonly class: string
  /** 1 for the first attempt. */
  readonly attempt: number
  /** The whole payload, decoded: foreign fields are there as they were sent. */
  readonly payload: Readonly<Record<string, unknown>>
  readonly log: JobLog
  /** Aborts when the job is cancelled or its time is over, shortly before its process is ended. */
  readonly signal: AbortSignal
}

// On globalThis, because a job's `resqueue/job` may be another copy of this package than the worker's own.
const KEY = Symbol.for('resqueue.currentJob')
const holder = globalThis as { [KEY]?: () => JobContext | undefined }

/** The engine's side of `currentJob`: says where the running job is to be found. */
export function provideCurrentJob(provider: () => JobContext | undefined): void {
  holder[KEY] = provider
}

/** The running job, anywhere below its handler. Throws `NOT_FOUND` outside of one. */
export function currentJob(): JobContext {
  const job = holder[KEY]?.()
  if (!job) throw new ResQueueError('NOT_FOUND', 'currentJob() was called outside of a job')
  return job
}
