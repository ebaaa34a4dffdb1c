import { messageOf, ResQueueError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { isPassing } from '../redis/replies.ts'
import type { Patience, Store } from '../redis/store.ts'
import { plural } from '../wording.ts'
import { release, type ReleaseReason } from './recovery.ts'

/**
 * Releases a gone process and says so in the log. One that Redis refuses to release (its in-flight key holds another
 * type, or a record that nobody can read) is named there once, and the promise fulfils: it must not keep others from
 * their release. Rejects where Redis cannot be reached, or refuses for the moment.
 */
export type Recoverer = (nonce: string, reason: ReleaseReason, patience: Patience) => Promise<void>

/** `recovered` is told how many jobs each released process had held. */
export function createRecoverer(
  store: Store,
  {
    maxRecoveries,
    log,
    recovered,
  }: { readonly maxRecoveries: number; readonly log: Logger; readonly recovered: (jobs: number) => void },
): Recoverer {
  const refused = new Set<string>()
  return async (nonce, reason, patience) => {
    try {
      const result = await release(store, nonce, reason, maxRecoveries, patience)
      if (result.kind !== 'released') return
      const jobs = result.back + result.failed + result.quarantined
      recovered(jobs)
      log.warn(
        { process: nonce, reason: reason.kind, jobs, ...result, kind: undefined },
        `released a gone worker process and recovered ${plural(jobs, 'job')}`,
      )
    } catch (error) {
      if (!(error instanceof ResQueueError && error.code === 'REDIS_REFUSED') || isPassing(error)) throw error
      if (refused.has(nonce)) return
      refused.add(nonce)
      log.warn(
        { process: nonce, reason: reason.kind, key: store.keys.inflight(nonce), 'error.message': messageOf(error) },
        'a gone worker process cannot be released: what its key holds has to be mended or removed by hand',
      )
    }
  }
}
