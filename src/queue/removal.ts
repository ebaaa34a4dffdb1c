import { randomBytes } from 'node:crypto'
import { sleep } from '../clock.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Lane } from './lane.ts'

const removeScript = loadScript('queue_remove')
const statusesScript = loadScript('removed_statuses')

/**
 * Removes all jobs of a queue in one atomic call, with `all` the queue itself and what is kept beside it as well.
 * Returns how many jobs it had. Their statuses are then made to expire, some with each further call; should these fail,
 * or `signal` abort, the rest of the statuses stays.
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
    for (let left = removed; left > 0;) {
      const began = performance.now()
      left = (await lane.store.run(statusesScript, [aside], { signal })) as number
      // Others want Redis too: it has a rest as long as the call took.
      if (left > 0) await sleep(performance.now() - began, signal)
    }
  } catch {
    // The jobs are gone all the same. What was put aside goes by itself in ten minutes, should this fail as well.
    await lane.store.command('unlink', [lane.store.keys.removed(aside)]).catch(() => undefined)
  }
  return removed
}
