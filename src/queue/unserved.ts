import type { Patience, Store } from '../redis/store.ts'
import { queueInfos, type QueueInfo } from './queues.ts'
import { selectQueues } from './selection.ts'

/** Queues that are looked at, of those that nobody serves. */
const MOST = 10_000

/**
 * Those of these queues that hold jobs and are in none of the lists, each of which is a list of queues as workers are
 * given it. `names` are all that exist: patterns are resolved against them.
 */
export async function unservedQueues(
  store: Store,
  names: readonly string[],
  lists: Iterable<readonly string[]>,
  patience?: Patience,
): Promise<readonly QueueInfo[]> {
  // A fleet of thousands has few lists.
  const different = new Map([...lists].map((list) => [list.join(), list]))
  const served = new Set([...different.values()].flatMap((list) => selectQueues(list).resolve(names)))
  const others = names.filter((name) => !served.has(name)).slice(0, MOST)
  return (await queueInfos(store, others, patience)).filter(({ size }) => size > 0)
}
