import { nonceOf } from '../queue/registry.ts'
import { scan } from '../redis/pages.ts'
import type { Store } from '../redis/store.ts'

/**
 * Registrations in the family's `workers` that look like ours and have no process behind them: display entries that
 * nobody removes.
 */
export async function strayIds(store: Store): Promise<readonly string[]> {
  const strays = new Set<string>()
  for await (const page of scan(store, 'sscan', store.keys.workers)) {
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
