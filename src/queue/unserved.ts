import { pagesOf } from '../redis/pages.ts'
import type { Patience, Store } from '../redis/store.ts'
import { selectQueues } from './selection.ts'

/** Queues that are looked at. */
const MOST = 10_000

/** A queue that nobody serves, and how many jobs wait in it: one at least. */
export interface UnservedQueue {
  readonly name: string
  readonly size: number
}

/**
 * Those of these queues that hold jobs and are in none of the lists, each of which is a list of queues as workers are
 * given it. `names` are all queues that exist; the first 10,000 are looked at. A key that is no list counts as empty.
 */
export async function unservedQueues(
  store: Store,
  names: readonly string[],
  lists: Iterable<readonly string[]>,
  patience?: Patience,
): Promise<readonly UnservedQueue[]> {
  const some = names.slice(0, MOST)
  // A fleet of thousands has few lists.
  const different = new Map([...lists].map((list) => [list.join(), list]))
  const served = new Set([...different.values()].flatMap((list) => selectQueues(list).resolve(some)))
  const left: UnservedQueue[] = []
  for (const page of pagesOf(some.filter((name) => !served.has(name)))) {
    const sizes = await store.pipeline(
      page.map((name) => ['llen', store.keys.queue(name)]),
      patience,
    )
    for (const [i, name] of page.entries()) {
      const size = sizes[i]
      if (typeof size === 'number' && size > 0) left.push({ name, size })
    }
  }
  return left
}
