import { listWorkers } from '../queue/workers.ts'
import type { Store } from '../redis/store.ts'

/** How many jobs of each queue run now, in workers of ours and of others; a thousand of each are looked at. */
export async function runningByQueue(store: Store): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  for (const worker of await listWorkers(store)) {
    for (const { queue } of worker.running) counts.set(queue, (counts.get(queue) ?? 0) + 1)
  }
  return counts
}
