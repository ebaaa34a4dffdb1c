import { messageOf, ResQueueError } from '../errors.ts'
import { loadChildHooks, type ChildHooks } from './childhooks.ts'
import type { JobPolicy } from './engine.ts'
import { FRAME, frame } from './frames.ts'
import type { Obstacle } from './obstacles.ts'
import { loadJobs, type JobRegistry } from './jobs.ts'

/** What a process that loads job code is told on its command line. */
export interface LoadConfig {
  readonly jobs: string
  readonly hooks?: string
  readonly jobsPerChild: number
  /** The worker's pid, to die with it: a process that asks late who its parent is may be an orphan already. */
  readonly worker: number
  /** `resque-<version>`. */
  readonly title: string
}

/** The answer of a process that loaded job code. */
export interface Loaded {
  readonly policies: readonly JobPolicy[]
  /** What was opened while loading that a fork would share: then this job set must be spawned. */
  readonly obstacles: readonly Obstacle[]
  /** Timers of which children get a copy each, in words. */
  readonly timers: readonly string[]
}

export interface LoadedCode {
  readonly registry: JobRegistry
  readonly hooks: ChildHooks
}

/** The configuration that the worker put on the command line; what job code sees of it is removed. */
export function takeLoadConfig(): LoadConfig {
  const config = JSON.parse(process.argv[2] ?? '{}') as LoadConfig
  process.argv.splice(2)
  return config
}

/** Loads jobs and hooks. Rejects with `JOBS` or `CONFIG`. */
export async function loadCode(config: LoadConfig): Promise<LoadedCode> {
  return { registry: await loadJobs(config.jobs), hooks: await loadChildHooks(config.hooks) }
}

const NOTHING = { obstacles: [], timers: [] } as const

/** The frame that tells the worker what was loaded, and what the process that is to be forked holds. */
export function loadedFrame(code: LoadedCode, held: Pick<Loaded, 'obstacles' | 'timers'> = NOTHING): Buffer {
  const policies = [...code.registry.jobs.values()].map((job) => job.policy)
  return frame(FRAME.loaded, JSON.stringify({ policies, ...held } satisfies Loaded))
}

/** The frame that tells the worker why nothing was loaded. */
export function refusedFrame(error: unknown): Buffer {
  const code = error instanceof ResQueueError ? error.code : 'JOBS'
  const stack = error instanceof Error && error.cause instanceof Error ? error.cause.stack : undefined
  return frame(FRAME.refused, JSON.stringify({ code, message: messageOf(error), stack }))
}

/** The error of a process that ended before it had loaded job code; `how`: its signal, or its exit code. */
export function endedLoading(jobs: string, how: string, stderr: string): ResQueueError {
  const said = stderr.trim()
  // Node's own, whose warning names only the code that waits for the module.
  const why = how === 'code 13' ? ' (a top-level await that nothing settles)' : ''
  const message = `the process that loads ${jobs} ended with ${how}${why}${said === '' ? '' : `: ${said}`}`
  return new ResQueueError('JOBS', message, { data: { ended: how } })
}

/** Whether an error is one of those, for which somebody outside of job code may be to blame. */
export function isEndedLoading(error: unknown): boolean {
  return error instanceof ResQueueError && 'ended' in error.data
}

/** The error that a `refused` frame carries. */
export function refusal(body: Buffer): ResQueueError {
  const { code, message, stack } = JSON.parse(body.toString()) as {
    code: 'JOBS' | 'CONFIG'
    message: string
    stack?: string
  }
  return new ResQueueError(code, message, stack === undefined ? {} : { data: { stack } })
}
