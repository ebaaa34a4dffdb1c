import type { Store } from '../redis/store.ts'
import type { Ahead } from './ahead.ts'

/**
 * Seconds that one wait lasts at most. New queues of a pattern are waited on after it, and what the turn behind it
 * brings must not be stale by then.
 */
const WAIT_SECONDS = 3

export interface Waiter {
  /** Tells the waiter that `able` or `queues` may have changed. */
  nudge(): void
  stop(): void
}

/**
 * Waits on the tokens of queues with one blocking connection, while `able` says that a job could be taken. Behind each
 * wait stands a turn (`ahead`), so that Redis hands out a job with the token that announces it. Errors are left to the
 * interval's look, which finds all work anyway.
 */
export function startWaiter(
  store: Store,
  options: { able(): boolean; queues(): readonly string[]; readonly ahead: Ahead },
): Waiter {
  const blocking = store.open('blocking', 'resqueue-waiter')
  const stop = new AbortController()
  let nudge = Promise.withResolvers<void>()

  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const queues = options.queues()
      if (!options.able() || queues.length === 0) {
        await nudge.promise
        nudge = Promise.withResolvers()
        continue
      }
      try {
        await options.ahead(blocking, { queues, seconds: WAIT_SECONDS }, stop.signal)
        // Give what was taken, and a turn that follows, a chance to fill the slots before waiting again.
        await new Promise((resolve) => setImmediate(resolve))
      } catch {
        if (stop.signal.aborted) return
        // A nudge of long ago would let what is refused (a token key of another type) be asked for without a pause.
        nudge = Promise.withResolvers()
        await Promise.race([nudge.promise, new Promise((resolve) => setTimeout(resolve, 1000).unref())])
      }
    }
  }
  void loop()

  return {
    nudge: () => nudge.resolve(),
    stop: () => {
      stop.abort()
      nudge.resolve()
      blocking.close()
    },
  }
}
