import type { Logger } from '../log.ts'
import type { WorkerObserver } from '../telemetry/observer.ts'
import type { EngineEvents, JobRun } from './engine.ts'

/** What an engine tells, as log lines and counts. Job code's own fields stand behind the job's. */
export function engineEvents(log: Logger, observer: WorkerObserver): EngineEvents {
  const fieldsOf = ({ id, queue, class: name }: JobRun): object => ({ job: id, queue, class: name })
  return {
    log: (job, level, message, fields) => log[level]({ ...fields, ...fieldsOf(job) }, message),
    output: (job, stream, line) => log.info({ ...fieldsOf(job), stream, line }, 'job output'),
    forked: (isolation, seconds) => observer.forked(isolation, seconds),
    notice: (level, message, fields = {}) => log[level](fields, message),
  }
}
