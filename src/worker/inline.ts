import { AsyncLocalStorage } from 'node:async_hooks'
import { LONGEST_TIMER_MS } from '../clock.ts'
import type { Backend, RunControl } from './backend.ts'
import { loadChildHooks, type ChildHooks } from './childhooks.ts'
import { provideCurrentJob, type JobContext, type JobLog } from './currentjob.ts'
import type { EngineOptions, JobRun } from './engine.ts'
import { loadJobs, type JobRegistry } from './jobs.ts'
import { logFields, logMessage } from './logfields.ts'
import type { LoadedCode } from './loading.ts'
import type { Outcome } from './outcome.ts'
import { performJob, type Report, type Surroundings } from './perform.ts'
import { reasonOf } from './supervise.ts'

const current = new AsyncLocalStorage<JobContext>()
let loads = 0

function logOf(job: JobRun, { events }: EngineOptions): JobLog {
  const line = (level: keyof JobLog) => (message: string, fields?: Record<string, unknown>) => {
    events.log(job, level, logMessage(message), JSON.parse(logFields(fields)) as Record<string, unknown>)
  }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}

/** Around one job. What only some jobs look at is made when they do. */
class Around implements Surroundings {
  readonly registry: JobRegistry
  readonly hooks: ChildHooks
  readonly fresh = true
  readonly #job: JobRun
  readonly #options: EngineOptions
  #log: JobLog | undefined
  #controller: AbortController | undefined
  #stopped: DOMException | undefined

  constructor(code: LoadedCode, job: JobRun, options: EngineOptions) {
    this.registry = code.registry
    this.hooks = code.hooks
    this.#job = job
    this.#options = options
  }

  within<T>(context: JobContext, body: () => T): T {
    return current.run(context, body)
  }

  log(): JobLog {
    return (this.#log ??= logOf(this.#job, this.#options))
  }

  signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#stopped) this.#controller.abort(this.#stopped)
    }
    return this.#controller.signal
  }

  stop(name: 'AbortError' | 'TimeoutError'): void {
    this.#stopped = new DOMException('The job was told to stop', name)
    this.#controller?.abort(this.#stopped)
  }
}

/** What becomes of a job that did not end at once: it may be aborted, killed or late before it ends. */
function attend(
  report: Promise<Report>,
  around: Around,
  control: RunControl,
  lateInMs: number | undefined,
): Promise<Outcome> {
  const { signal, timeoutMs = 0, killers } = control
  return new Promise((resolve) => {
    const cancel = (reason: string): void => {
      around.stop('AbortError')
      resolve({ kind: 'cancelled', reason })
    }
    const onAbort = (): void => cancel(reasonOf(signal))
    const onKill = (): void => cancel('killed')
    const onTimeout = (): void => {
      around.stop('TimeoutError')
      resolve({ kind: 'timed_out', timeoutMs })
    }
    const timer = lateInMs === undefined ? undefined : setTimeout(onTimeout, Math.min(lateInMs, LONGEST_TIMER_MS))
    killers.add(onKill)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    void report.then((outcome) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      killers.delete(onKill)
      resolve(outcome)
    })
  })
}

/**
 * Performs jobs in the worker's own process. Nothing can be ended by force here: a run that is aborted or out of time
 * is told through its signal and then left alone, and what it writes is the process's own output.
 */
export async function startInline(options: EngineOptions): Promise<Backend> {
  // A module that this process has loaded before is loaded again under another address.
  const version = loads++
  const code = { registry: await loadJobs(options.jobs, version), hooks: await loadChildHooks(options.hooks, version) }
  provideCurrentJob(() => current.getStore())
  const { pid } = process
  return {
    isolation: 'inline',
    policies: new Map([...code.registry.jobs].map(([name, job]) => [name, job.policy])),
    run(job, control) {
      const { signal, timeoutMs, started } = control
      if (signal.aborted) return { kind: 'cancelled', reason: reasonOf(signal) }
      started(pid)
      const from = timeoutMs === undefined ? 0 : performance.now()
      const around = new Around(code, job, options)
      const report = performJob(job, around)
      if (!(report instanceof Promise)) return report
      // Its time began before its first promise did.
      const lateInMs = timeoutMs === undefined ? undefined : Math.max(timeoutMs - (performance.now() - from), 0)
      return attend(report, around, control, lateInMs)
    },
    retire: () => Promise.resolve(),
  }
}
