import { settlesWithin, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { release, type Release } from '../queue/recovery.ts'
import type { Patience, Store } from '../redis/store.ts'
import type { TurnLoop } from './turns.ts'

/**
 * How long a leaving worker insists on Redis, also where it knows of no job: a turn whose answer was lost may have
 * taken one. Milliseconds. It comes out of the five seconds by which the chart's grace period exceeds
 * `--shutdown-timeout` and `--kill-delay`.
 */
const FAREWELL_MS = 3000
/** The same for one that was told to leave at once. */
export const HASTY_FAREWELL_MS = 2000
/** What is left of a farewell for unregistering, however long the ends before it take. Milliseconds. */
const RELEASE_MS = 1000

/** What a leaving worker still owes Redis. */
export interface Farewell {
  readonly store: Store
  readonly log: Logger
  readonly clock: Clock
  /** Absent while starting. */
  readonly turns: TurnLoop | undefined
  /** Absent before registering. */
  readonly nonce: string | undefined
  readonly maxRecoveries: number
  readonly patience: Patience
  /** Insist for a shorter time. Should Redis stay away, others put the jobs back when the lease lapses. */
  readonly hasty: boolean
}

/**
 * Records the ends that are known, and unregisters: what is still held goes back to its queue, in front. Resolves
 * within three seconds, whatever Redis does. Never rejects.
 */
export async function sayFarewell(farewell: Farewell): Promise<void> {
  const { store, log, clock, turns, nonce, maxRecoveries, patience } = farewell
  const withinMs = farewell.hasty ? HASTY_FAREWELL_MS : FAREWELL_MS
  const until = clock.monotonic() + withinMs
  try {
    if (turns && turns.occupied > 0) await settlesWithin(turns.flushed(), withinMs - RELEASE_MS, patience.signal)
    turns?.stop()
    if (nonce === undefined) return
    const deadlineMs = until - clock.monotonic()
    let result: Release | undefined
    const asked = release(store, nonce, { kind: 'owner' }, maxRecoveries, { ...patience, deadlineMs })
    const heard = asked.then((told) => (result = told))
    await settlesWithin(heard, deadlineMs, patience.signal) // a socket that says nothing is given up later than that
    if (!result) throw new Error(`Redis at ${store.address} does not answer`)
    if (result.kind === 'released' && result.back > 0) {
      log.warn({ jobs: result.back }, 'unfinished jobs were put back at the front of their queues')
    }
  } catch (error) {
    log.error(
      { 'error.message': messageOf(error) },
      'could not unregister; other workers put the jobs back when the lease lapses',
    )
  }
}
