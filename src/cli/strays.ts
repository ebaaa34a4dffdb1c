import { nonceOf } from '../queue/registry.ts'
import type { Store } from '../redis/store.ts'

/** Members of a set, a page at a time. */
export async function* members(store: Store, key: string): AsyncGenerator<readonly string[]> {
  let cursor = '0'
  do {
    const [next, page] = (await store.command('sscan', [key, cursor, 'COUNT', 500])) as [string, string[]]
    cursor = next
    if (page.length > 0) yield page
  } while (cursor !== '0')
}

/**
 * Registrations in the family's `workers` that look like ours and have no process behind them: display entries that
 * nobody removes.
 */
export async function strayIds(store: Store): Promise<readonly string[]> {
  const strays = new Set<string>()
  for await (const page of members(store, store.keys.workers)) {
    const ours = page.flatMap((id) => {
      const nonce = nonceOf(id)
      return nonce === undefined ? [] : [{ id, nonce }]
    })
    if (ours.length === 0) continue
    const known = (await store.command('hmget', [store.keys.processes, ...ours.map(({ nonce }) => nonce)])) as (
      | string
      | null
    )[]
    ours.forEach(({ id }, i) => known[i] === null && strays.add(id))
  }
  return [...strays].sort()
}
