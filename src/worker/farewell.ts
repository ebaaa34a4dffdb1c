import { setTimeout as rest } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { release } from '../queue/recovery.ts'
import type { Patience, Store } from '../redis/store.ts'
import type { TurnLoop } from './turns.ts'

/** What a leaving worker still owes Redis. */
export interface Farewell {
  readonly store: Store
  readonly log: Logger
  /** Absent while starting. */
  readonly turns: TurnLoop | undefined
  /** Absent before registering. */
  readonly nonce: string | undefined
  readonly maxRecoveries: number
  readonly patience: Patience
  /** How long to insist, for each of the two calls. Should Redis stay away, others put the jobs back when the lease lapses. */
  readonly withinMs: number
}

/** Records the ends that are known, and unregisters: what is still held goes back to its queue, in front. Never rejects. */
export async function sayFarewell({
  store,
  log,
  turns,
  nonce,
  maxRecoveries,
  patience,
  withinMs,
}: Farewell): Promise<void> {
  try {
    const over = rest(withinMs, undefined, { ref: false, signal: patience.signal }).catch(() => undefined)
    if (turns) await Promise.race([turns.flushed(), over])
    turns?.stop()
    if (nonce === undefined) return
    const result = await release(store, nonce, { kind: 'owner' }, maxRecoveries, { ...patience, deadlineMs: withinMs })
    if (result.kind === 'released' && result.back > 0) {
      log.warn({ jobs: result.back }, 'unfinished jobs were put back in front of their queues')
    }
  } catch (error) {
    log.error(
      { 'error.message': messageOf(error) },
      'could not unregister; other workers put the jobs back when the lease lapses',
    )
  }
}
