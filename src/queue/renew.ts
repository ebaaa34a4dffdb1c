import { loadScript } from '../redis/scripts.ts'
import type { Arg, Patience, Store } from '../redis/store.ts'
import { parsePaused } from './paused.ts'
import { callerArgs, type Registration } from './registry.ts'
import { parseState, type State } from './turn.ts'

const renewScript = loadScript('renew')

export interface Renewal {
  /** Write heartbeats and repair display copies; every 10 s is often enough for the family's 300 s. */
  readonly beat: boolean
  /** Absolute per-worker statistics that changed: worker id, processed, failed. */
  readonly statistics: readonly (readonly [id: string, processed: number, failed: number])[]
  /** Queues to look at; empty: no look. */
  readonly look: readonly string[]
  readonly drainMark: string
}

export type RenewReply =
  | { readonly kind: 'gone' }
  | {
      readonly kind: 'ok'
      readonly now: number
      /** Records that Redis holds for this process. */
      readonly records: number
      readonly state: State
      readonly pausedQueues: readonly string[]
      /** How many of the queues looked at hold jobs. */
      readonly waiting: number
      readonly knownQueues: number
      /** A retry is due. */
      readonly retryDue: boolean
      /** A delayed job is due. */
      readonly delayedDue: boolean
    }

/** Extends the lease and learns what there is to do, in one call (`lua/renew.lua`). */
export async function renew(
  store: Store,
  process: Registration,
  renewal: Renewal,
  patience: Patience,
): Promise<RenewReply> {
  const args: Arg[] = [
    ...callerArgs(process),
    process.slots,
    renewal.drainMark,
    renewal.beat ? '1' : '',
    renewal.statistics.length,
  ]
  for (const [id, processed, failed] of renewal.statistics) args.push(id, `${processed} ${failed}`)
  for (const queue of renewal.look) args.push(queue)
  const fields = (await store.run(renewScript, args, patience)) as (string | number)[]
  if (fields[0] === 'gone') return { kind: 'gone' }
  const now = Number(fields[1])
  return {
    kind: 'ok',
    now,
    records: Number(fields[2]),
    state: parseState(fields[3]),
    pausedQueues: parsePaused(fields[4]),
    waiting: Number(fields[5]),
    knownQueues: Number(fields[6]),
    retryDue: Number(fields[7]) > 0,
    delayedDue: fields[8] !== '' && Number(fields[8]) * 1000 <= now,
  }
}
