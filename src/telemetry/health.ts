import type { WorkerView } from './observer.ts'

/** One thing that a probe looks at. */
export interface Check {
  readonly name: string
  /** Says what is wrong; undefined where all is well. Looks at what is known already and never waits. */
  problem(): string | undefined
}

/** Live: not to be restarted. Ready: counted as part of the deployment. */
export interface Checks {
  readonly live: readonly Check[]
  readonly ready: readonly Check[]
}

/**
 * After this long without a move of the reserve loop a worker is taken for stuck, ms. It moves every two seconds at
 * least, also while Redis is away or jobs run for hours.
 */
const STUCK_MS = 60_000

/**
 * A worker's checks. Neither looks at Redis, at running jobs or at drain marks: restarting or hiding the pod would help
 * none of these.
 */
export function workerChecks(view: () => WorkerView, stuckMs: number = STUCK_MS): Checks {
  return {
    live: [
      {
        name: 'reserve-loop',
        problem: () => {
          const { loopAgeMs } = view()
          return loopAgeMs < stuckMs ? undefined : `it last moved ${Math.round(loopAgeMs / 1000)} s ago`
        },
      },
    ],
    ready: [
      {
        name: 'registered',
        problem: () => (view().registered ? undefined : 'jobs are not loaded or the worker is not registered yet'),
      },
      { name: 'job-processes', problem: () => view().trouble },
      { name: 'not-stopping', problem: () => (view().stopping ? 'the worker is stopping' : undefined) },
    ],
  }
}

/**
 * The event loop's own check: a timer due every second must not have been late by more than `stuckMs`. That an answer
 * comes at all proves that the loop moves now; this tells when it stood still just before. End with `close`.
 */
export function watchEventLoop(stuckMs: number = STUCK_MS): Check & { close(): void } {
  const everyMs = 1000
  let last = performance.now()
  let late = 0
  const timer = setInterval(() => {
    const now = performance.now()
    late = now - last - everyMs
    last = now
  }, everyMs)
  timer.unref()
  return {
    name: 'event-loop',
    problem: () => {
      const worst = Math.max(late, performance.now() - last - everyMs)
      return worst < stuckMs ? undefined : `it stood still for ${Math.round(worst / 1000)} s`
    },
    close: () => clearInterval(timer),
  }
}
