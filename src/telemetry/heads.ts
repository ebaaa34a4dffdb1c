import { HEAD_BYTES } from '../queue/demand.ts'
import { ACTIVE_JOB, enqueuedAt, parsePayload } from '../queue/payload.ts'

const TIME_FIELD = /,\s*(?="(?:queue_time|timestamp|enqueued_at)"\s*:)/g
/** What ActiveJob alone writes, between its arguments and its time: the wrapper's class is cut off. */
const ACTIVE_JOB_FIELD = /,\s*(?="exception_executions"\s*:)/g

/**
 * When the head of a queue was enqueued, in ms since the epoch, from the end of its bytes; undefined where that does
 * not say. Producers write the time last. A long payload's end is completed to one that has nothing but its last
 * fields, at the top or inside ActiveJob's only argument: that is JSON exactly where the cut lies between fields of
 * that level.
 */
export function headEnqueuedAt(size: number, end: string): number | undefined {
  if (size <= HEAD_BYTES) return timeIn(end)
  return (
    timeBehind(end, TIME_FIELD, '{"class":"",') ??
    timeBehind(end, ACTIVE_JOB_FIELD, `{"class":"${ACTIVE_JOB}","args":[{`)
  )
}

function timeBehind(end: string, field: RegExp, beginning: string): number | undefined {
  for (const { index, 0: comma } of end.matchAll(field)) {
    const time = timeIn(beginning + end.slice(index + comma.length))
    if (time !== undefined) return time
  }
  return undefined
}

function timeIn(raw: string): number | undefined {
  const parsed = parsePayload(raw)
  return parsed.ok ? enqueuedAt(parsed.payload) : undefined
}
