import { emptyRecord, own } from './records.ts'
import type { Flow } from '../../queue/demand.ts'
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
 * are those and the change of what runs. A worker's jobs count for the queue that it is seen at. A worker that is gone
 * takes its counter along: what it did since the last look stays unknown.
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
  const seen = emptyRecord<readonly [number, string | null]>()
  for (const { id, processed, queue } of workers) {
    const [processedThen, queueThen] = own(memory.workers, id) ?? [processed, null]
    // Between two looks it may have changed queues: what it ended counts where it was, or else where it is.
    const ended = Math.max(0, processed - processedThen)
    const place = queueThen ?? queue
    if (place !== null) add(place, Math.max(0, ended - (queueThen === null ? 0 : 1)), ended, 0)
    if (queue !== null) {
      const isSame = queueThen === queue && ended === 0
      add(queue, isSame ? 0 : 1, 0, elapsedMs)
    }
    seen[id] = [processed, queue]
  }
  return { workers: seen, flow }
}
