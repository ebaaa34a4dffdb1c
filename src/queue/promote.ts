import { loadScript } from '../redis/scripts.ts'
import type { Patience, Store } from '../redis/store.ts'

const retryScript = loadScript('promote_retry')
const delayedScript = loadScript('promote_delayed')

/** Items that one call moves at most. */
const BATCH = 100
/** And bytes after which a call moves no more: Redis does nothing else meanwhile. */
const BATCH_BYTES = 1_048_576

/**
 * Moves due retries to their queues. Returns how many, whether more may be due, and how many of them went to quarantine
 * because no queue takes them.
 */
export async function promoteRetries(
  store: Store,
  patience?: Patience,
): Promise<{ readonly moved: number; readonly more: boolean; readonly quarantined: number }> {
  const reply = (await store.run(retryScript, [BATCH, BATCH_BYTES], patience)) as [number, number, number]
  const [moved, more, quarantined] = reply
  return { moved, more: more === 1, quarantined }
}

/** A delayed job that was moved to its queue. */
export interface Promoted {
  readonly queue: string
  readonly raw: string
}

export type Promotion =
  /** A foreign scheduler leads: delayed jobs are its business. */
  | { readonly kind: 'locked'; readonly by: string }
  | {
      readonly kind: 'moved'
      readonly items: readonly Promoted[]
      readonly more: boolean
      /** Due items that are no jobs, or whose queue is a key of another type. */
      readonly quarantined: number
    }

/** Moves due delayed items to their queues, bytes kept (R72, replaced: raw instead of created anew). */
export async function promoteDelayed(store: Store, patience?: Patience): Promise<Promotion> {
  const reply = (await store.run(delayedScript, [BATCH, BATCH_BYTES], patience)) as (string | number)[]
  const [kind, second, quarantined, ...rest] = reply as [string, string | number, number, ...string[]]
  if (kind === 'locked') return { kind, by: second as string }
  const items = []
  for (let i = 0; i + 1 < rest.length; i += 2) items.push({ queue: rest[i] as string, raw: rest[i + 1] as string })
  return { kind: 'moved', items, more: second === 1, quarantined }
}
