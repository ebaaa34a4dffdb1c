import { LONGEST_TIMER_MS } from '../clock.ts'
import { ResQueueError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { HASTY_FAREWELL_MS } from './farewell.ts'
import type { WorkerSignal } from './signals.ts'

export interface LeavingOptions {
  readonly log: Logger
  /** From the first TERM or INT until running jobs are stopped. Milliseconds. */
  readonly shutdownTimeoutMs: number
  /** Ends every insistence on Redis. */
  readonly hard: AbortController
  /** How many jobs run. */
  running(): number
  /** Whether the worker is done, or waits for nothing that could come. */
  ready(): boolean
  /**
   * Stops the running jobs without recording anything, with TERM first unless `atOnce`. Resolves when their processes
   * are gone.
   */
  interrupt(atOnce: boolean): Promise<void>
  /** Takes leave of Redis and ends all that the worker has begun. */
  farewell(): Promise<void>
}

/** How a worker comes to its end. */
export interface Leaving {
  /** No more jobs are taken. */
  readonly stopping: boolean
  /** Whether a TERM or INT came. */
  readonly told: boolean
  /** Running jobs are stopped: what Redis still brings does not run. */
  readonly abandoned: boolean
  /** The farewell has begun. */
  readonly begun: boolean
  readonly exitCode: number
  /** Resolves when the worker has left, or rejects with what it left for. */
  readonly done: Promise<{ readonly exitCode: number }>
  /** Takes no more jobs. */
  stop(): void
  /** Lets running jobs end, until the shutdown timeout where there is a `deadline`. */
  drain(why: WorkerSignal, deadline: boolean): void
  /** Kills running jobs, and leaves with this exit code. */
  halt(why: WorkerSignal, exitCode: number): void
  /** Kills running jobs, and leaves; `done` rejects once everything is closed. */
  fail(error: unknown): void
  /** Leaves when there is nothing left to do. */
  settle(): void
  leave(): void
}

export function createLeaving(options: LeavingOptions): Leaving {
  const { log, shutdownTimeoutMs, hard, running } = options
  const left = Promise.withResolvers<{ exitCode: number }>()
  let stopping = false
  let told = false
  let abandoned = false
  let begun = false
  let exitCode = 0
  let failure: { readonly error: unknown } | undefined
  let deadline: NodeJS.Timeout | undefined

  const leave = (): void => {
    if (begun) return // the farewell tells of its own trouble, and settles again
    begun = true
    void Promise.resolve().then(async () => {
      clearTimeout(deadline)
      await options.farewell()
      if (failure) left.reject(failure.error)
      else left.resolve({ exitCode })
    })
  }
  /** Stops what runs, and leaves when it is gone: the release puts it back, and nobody else may run it while we do. */
  const abandon = (atOnce: boolean): void => {
    stopping = true
    abandoned = true
    void options.interrupt(atOnce).then(leave)
  }
  const settle = (): void => {
    if (options.ready()) leave()
  }

  return {
    get stopping() {
      return stopping
    },
    get told() {
      return told
    },
    get abandoned() {
      return abandoned
    },
    get begun() {
      return begun
    },
    get exitCode() {
      return exitCode
    },
    done: left.promise,
    stop: () => {
      stopping = true
    },
    drain: (why, withDeadline) => {
      if (!stopping || withDeadline)
        log.info({ signal: why, running: running() }, 'stopping: running jobs are finished, no new ones are taken')
      stopping = true
      told ||= withDeadline
      if (withDeadline && !begun) {
        deadline ??= setTimeout(
          () => {
            log.warn({ running: running() }, 'the shutdown timeout is over: running jobs are stopped and put back')
            abandon(false)
          },
          Math.min(shutdownTimeoutMs, LONGEST_TIMER_MS),
        )
      }
      settle()
    },
    halt: (why, code) => {
      log.warn({ signal: why, running: running() }, 'stopping at once: running jobs are killed and put back')
      exitCode = code
      // A farewell under way has the limits of one that has time.
      if (begun) setTimeout(() => hard.abort(), HASTY_FAREWELL_MS).unref()
      abandon(true)
    },
    fail: (error) => {
      if (hard.signal.aborted) return // what was still asked of Redis when we left
      failure ??= { error }
      exitCode = error instanceof ResQueueError ? error.exitCode : 1
      abandon(true)
    },
    settle,
    leave,
  }
}
