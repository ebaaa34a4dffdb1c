import { loadScript } from '../redis/scripts.ts'
import type { Patience, Store } from '../redis/store.ts'

const retryScript = loadScript('promote_retry')
const delayedScript = loadScript('promote_delayed')

/** Items that one call moves at most. */
const BATCH = 100

/** Moves due retries to their queues. Returns how many; as many as asked for means that more may be due. */
export async function promoteRetries(store: Store, patience?: Patience): Promise<{ moved: number; more: boolean }> {
  const [moved] = (await store.run(retryScript, [BATCH], patience)) as [number]
  return { moved, more: moved >= BATCH }
}

export type Promotion =
  /** A foreign scheduler leads: delayed jobs are its business. */
  | { readonly kind: 'locked'; readonly by: string }
  | {
      readonly kind: 'moved'
      readonly items: readonly { readonly queue: string; readonly raw: string }[]
      readonly more: boolean
    }

/** Moves due delayed items to their queues, bytes kept (R72, replaced: raw instead of created anew). */
export async function promoteDelayed(store: Store, patience?: Patience): Promise<Promotion> {
  const reply = (await store.run(delayedScript, [BATCH], patience)) as (string | number)[]
  const [kind, second, ...rest] = reply as [string, string | number, ...string[]]
  if (kind === 'locked') return { kind, by: second as string }
  const items = []
  for (let i = 0; i + 1 < rest.length; i += 2) items.push({ queue: rest[i] as string, raw: rest[i + 1] as string })
  return { kind: 'moved', items, more: second === 1 }
}
