import type { Flow } from '../../queue/demand.ts'
import { emptyRecord, own } from './records.ts'
import type { ForeignMemory, ForeignWorker } from './types.ts'

export const NO_FLOW: Flow = { started: 0, ended: 0, returned: 0, busyMs: 0 }
export const NO_FOREIGN: ForeignMemory = { workers: {}, flow: {} }

/** What the foreign workers make of one queue. */
export interface ForeignWork {
  readonly flow: Flow
  /** Jobs that they run now. */
  readonly running: number
}

/** Jobs that foreign workers run now, by queue. */
export function foreignRunning(workers: readonly ForeignWorker[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const { queue } of workers) if (queue !== null) counts.set(queue, (counts.get(queue) ?? 0) + 1)
  return counts
}

/**
 * Flow counters for workers that keep none: jobs ended are the growth of what each worker has processed, jobs started
 * are those and the change of what runs. Of a worker that does not count either, a job has ended when it is idle or
 * runs another one: those that began and ended between two looks stay unknown. A worker's jobs count for the queue that
 * it is seen at. A worker that is gone takes its counter along: what it did since the last look stays unknown.
 */
export function countForeign(
  memory: ForeignMemory,
  workers: readonly ForeignWorker[],
  elapsedMs: number,
): ForeignMemory {
  if (workers.length === 0 && Object.keys(memory.workers).length === 0) return memory
  const flow = emptyRecord<Flow>(memory.flow)
  const add = (queue: string, started: number, ended: number, busyMs: number): void => {
    const old = own(flow, queue) ?? NO_FLOW
    flow[queue] = {
      started: old.started + started,
      ended: old.ended + ended,
      returned: 0,
      busyMs: old.busyMs + busyMs,
    }
  }
  const seen = emptyRecord<ForeignMemory['workers'][string]>()
  for (const { id, processed, queue, runAt } of workers) {
    const [processedThen, queueThen, runAtThen] = own(memory.workers, id) ?? [processed, null, runAt]
    const isOther = queueThen !== null && (queue === null || runAt !== runAtThen)
    // Between two looks it may have changed queues: what it ended counts where it was, or else where it is.
    const ended = processed === null ? Number(isOther) : Math.max(0, processed - (processedThen ?? 0))
    const place = queueThen ?? queue
    if (place !== null) add(place, Math.max(0, ended - (queueThen === null ? 0 : 1)), ended, 0)
    if (queue !== null) {
      const isSame = queueThen === queue && ended === 0
      add(queue, isSame ? 0 : 1, 0, elapsedMs)
    }
    seen[id] = [processed, queue, runAt]
  }
  return { workers: seen, flow }
}
