import { isObject } from '../json.ts'
import { ACTIVE_JOB, type Payload } from '../queue/payload.ts'

/** The class that people know a job by: ActiveJob's own one where it is wrapped, else the payload's. */
export function shownClass(payload: Pick<Payload, 'class' | 'args'>): string {
  if (payload.class !== ACTIVE_JOB) return payload.class
  const [inner] = payload.args
  const name = isObject(inner) ? inner['job_class'] : undefined
  return typeof name === 'string' && name !== '' ? name : payload.class
}
