import type { Logger } from '../log.ts'
import type { WorkerObserver } from '../telemetry/observer.ts'
import type { EngineEvents, JobRun } from './engine.ts'

/** Names of every line of a job: what the worker says of it. */
const TAKEN: ReadonlySet<string> = new Set(['level', 'time', 'job', 'queue', 'class', 'msg'])

/** What an engine tells, as log lines and counts. A field of job code's that is named as the worker's gets a `job_`. */
export function engineEvents(log: Logger, observer: WorkerObserver): EngineEvents {
  const fieldsOf = ({ id, queue, class: name }: JobRun): object => ({ job: id, queue, class: name })
  return {
    log: (job, level, message, fields) => log[level]({ ...fieldsOf(job), ...renamed(fields) }, message),
    output: (job, stream, line) => log.info({ ...fieldsOf(job), stream, line }, 'job output'),
    forked: (isolation, seconds) => observer.forked(isolation, seconds),
    notice: (level, message, fields = {}) => log[level](fields, message),
  }
}

/** pino writes a field beside its own of the same name, and readers of JSON take the last of the two. */
function renamed(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const free = (name: string): string => {
    let other = `job_${name}`
    while (Object.hasOwn(fields, other)) other = `job_${other}`
    return other
  }
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [TAKEN.has(name) ? free(name) : name, value]))
}
