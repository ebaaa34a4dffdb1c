import { AsyncLocalStorage } from 'node:async_hooks'
import type { Backend } from './backend.ts'
import { loadChildHooks } from './childhooks.ts'
import { provideCurrentJob, type JobContext, type JobLog } from './currentjob.ts'
import type { EngineOptions, JobRun } from './engine.ts'
import { loadJobs } from './jobs.ts'
import { performJob } from './perform.ts'
import { reasonOf } from './supervise.ts'

const current = new AsyncLocalStorage<JobContext>()
let loads = 0

function logOf(job: JobRun, options: EngineOptions): JobLog {
  const { events } = options
  const line = (level: keyof JobLog) => (message: string, fields?: Record<string, unknown>) => {
    if (events.log) events.log(job, level, message, fields ?? {})
    else events.output(job, 'stdout', message)
  }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}

/**
 * Performs jobs in the worker's own process. Nothing can be ended by force here: a run that is aborted or out of time is told through its
 * signal and then left alone, and what it writes is the process's own output.
 */
export async function startInline(options: EngineOptions): Promise<Backend> {
  // A module that this process has loaded before is loaded again under another address.
  const version = loads++
  const registry = await loadJobs(options.jobs, version)
  const hooks = await loadChildHooks(options.hooks, version)
  provideCurrentJob(() => current.getStore())
  const policies = new Map([...registry.jobs].map(([name, job]) => [name, job.policy]))
  return {
    isolation: 'inline',
    policies,
    run(job, { signal, timeoutMs, started, killers }) {
      const controller = new AbortController()
      return new Promise((resolve) => {
        let timer: NodeJS.Timeout | undefined
        const cancel = (reason: string): void => {
          controller.abort(new DOMException('The job was told to stop', 'AbortError'))
          resolve({ kind: 'cancelled', reason })
        }
        const onAbort = (): void => cancel(reasonOf(signal))
        const onKill = (): void => cancel('killed')
        if (signal.aborted) return onAbort()
        signal.addEventListener('abort', onAbort, { once: true })
        killers.add(onKill)
        if (timeoutMs !== undefined) {
          timer = setTimeout(() => {
            controller.abort(new DOMException('The job was told to stop', 'TimeoutError'))
            resolve({ kind: 'timed_out', timeoutMs })
          }, timeoutMs)
        }
        started(process.pid)
        void performJob(job, {
          registry,
          hooks,
          log: logOf(job, options),
          signal: () => controller.signal,
          fresh: true,
          within: (context, work) => current.run(context, work),
        }).then((report) => {
          clearTimeout(timer)
          signal.removeEventListener('abort', onAbort)
          killers.delete(onKill)
          resolve(report)
        })
      })
    },
    retire: () => Promise.resolve(),
  }
}
