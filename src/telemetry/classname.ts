import type { Payload } from '../queue/payload.ts'

/** Rails' ActiveJob enqueues every job as this class, and the job's own class inside its argument. */
const ACTIVE_JOB = 'ActiveJob::QueueAdapters::ResqueAdapter::JobWrapper'

/** The class that people know a job by: ActiveJob's own one where it is wrapped, else the payload's. */
export function shownClass(payload: Pick<Payload, 'class' | 'args'>): string {
  if (payload.class !== ACTIVE_JOB) return payload.class
  const [inner] = payload.args
  const name = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)['job_class'] : undefined
  return typeof name === 'string' && name !== '' ? name : payload.class
}
