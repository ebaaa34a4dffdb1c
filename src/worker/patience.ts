import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Patience, Store } from '../redis/store.ts'

/**
 * How a worker asks Redis: for as long as it lives, until `signal` aborts. Trouble is logged once when it begins and once when
 * it is over; `waiting` is told at each try, for waiting knowingly is no standstill.
 */
export function workerPatience(store: Store, log: Logger, signal: AbortSignal, waiting: () => void): Patience {
  let troubled = false
  return {
    deadlineMs: Infinity,
    stubborn: true,
    signal,
    trouble: (error) => {
      waiting()
      const fields = { redis: store.address }
      if (error && !troubled)
        log.warn({ ...fields, 'error.message': messageOf(error) }, 'Redis is unavailable; waiting for it')
      if (!error && troubled) log.info(fields, 'Redis is back')
      troubled = error !== undefined
    },
  }
}
