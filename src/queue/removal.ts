import { randomBytes } from 'node:crypto'
import { loadScript } from '../redis/scripts.ts'
import type { Lane } from './lane.ts'

const removeScript = loadScript('queue_remove')
const statusesScript = loadScript('removed_statuses')

/**
 * Removes all jobs of a queue in one atomic call, with `all` the queue itself and what is kept beside it as well. Returns how many jobs it had. Their
 * statuses are then made to expire, some with each further call; should these fail, or `signal` abort, the rest of the statuses stays.
 */
export async function removeAll(
  lane: Lane,
  queue: string,
  what: 'jobs' | 'all',
  signal?: AbortSignal,
): Promise<number> {
  const aside = randomBytes(8).toString('hex')
  const removed = Number(await lane.run(removeScript, [queue, what, aside]))
  try {
    for (let left = removed; left > 0;) left = (await lane.store.run(statusesScript, [aside], { signal })) as number
  } catch {
    // The jobs are gone all the same: what was put aside goes by itself.
  }
  return removed
}
