import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Patience, Store } from '../redis/store.ts'

export interface WorkerPatience extends Patience {
  /** Whether Redis is known to be away, or to refuse. */
  readonly troubled: boolean
}

/**
 * How a worker asks Redis: for as long as it lives, until `signal` aborts. Trouble is logged once when it begins and
 * once when it is over; `waiting` is told at each try, for waiting knowingly is no standstill.
 */
export function workerPatience(store: Store, log: Logger, signal: AbortSignal, waiting: () => void): WorkerPatience {
  let troubled = false
  return {
    get troubled() {
      return troubled
    },
    deadlineMs: Infinity,
    stubborn: true,
    rotation: true,
    signal,
    trouble: (error) => {
      const fields = { redis: store.address }
      if (error && !troubled)
        log.warn({ ...fields, 'error.message': messageOf(error) }, 'Redis is unavailable; waiting for it')
      if (!error && troubled) log.info(fields, 'Redis is back')
      troubled = error !== undefined
      waiting()
    },
  }
}
