import { resolve as absolute } from 'node:path'
import * as config from '../config.ts'
import { defined } from '../defined.ts'
import { ResQueueError } from '../errors.ts'
import type { FailureBackend, WorkerOptions } from '../worker/options.ts'
import type { Settings } from './resolve.ts'

/** What a worker is told when nothing is said about `--interval`, or 0 is. Milliseconds. */
const INTERVAL_MS = 1000

/** A worker's options from flags and environment. Throws one `USAGE` error that names everything that is missing. */
export function workerOptions(settings: Pick<Settings, 'get'>): WorkerOptions {
  const { get } = settings
  const [queues, jobs] = [get(config.queues), get(config.jobs)]
  const missing = [
    ...(queues.length === 0 ? ["--queues (QUEUES): which queues to serve, for example critical,mail or '*'"] : []),
    ...(jobs === undefined ? ['--jobs (JOBS): the module or folder that exports the jobs, for example ./jobs'] : []),
  ]
  if (jobs === undefined || missing.length > 0) throw new ResQueueError('USAGE', `missing ${missing.join('; ')}`)
  const [interval, hooksFile] = [get(config.interval), get(config.hooks)]
  const hooks = defined({ hooks: hooksFile === undefined ? undefined : absolute(hooksFile) })
  return {
    queues,
    concurrency: get(config.concurrency),
    engine: {
      isolation: get(config.isolation),
      jobs: absolute(jobs),
      ...hooks,
      jobsPerChild: get(config.jobsPerChild),
      ...defined({ jobMemoryMiB: get(config.jobMemory), timeoutMs: get(config.timeout) }),
      killDelayMs: get(config.killDelay),
    },
    intervalMs: interval === 0 ? INTERVAL_MS : interval,
    blocking: get(config.blocking),
    burst: get(config.burst) || interval === 0,
    shutdownTimeoutMs: get(config.shutdownTimeout),
    maxRecoveries: get(config.maxRecoveries),
    failFast: get(config.failFast),
    failureBackends: get(config.failureBackend).map(backendOf),
    ...defined({ maxJobs: get(config.maxJobs), name: get(config.workerName) }),
    ...hooks,
  }
}

function backendOf(text: string): FailureBackend {
  return text === 'redis' || text === 'multi-queue' ? { kind: text } : { kind: 'module', file: absolute(text) }
}
